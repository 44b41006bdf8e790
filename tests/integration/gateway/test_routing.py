"""Which engine a body goes to, and that no spelling of it goes to another."""

import json

import pytest

from tests.integration.gateway.conftest import CHAT, TWO, World

JSON = "application/json"


def served(world: World, body: bytes, content_type: str = JSON) -> str:
    """The peer that answered, or the code of the error."""
    answer = world.ask(content=body, json=None, headers={"content-type": content_type})
    value = answer.json()
    return str(value["by"] if answer.status_code == 200 else value["error"]["code"])


@pytest.mark.parametrize(
    ("body", "by"),
    [
        (b'{"model": "cheap"}', "three"),
        (b'{"metadata": {"model": "chat"}, "model": "cheap"}', "three"),
        (b'{"model": "cheap", "metadata": {"model": "chat"}}', "three"),
        (rb'{"mod\u0065l": "ch\u0065ap"}', "three"),
        # The last one counts, for the engine, too: both read it as Python's json does.
        (b'{"model": "chat", "model": "cheap"}', "three"),
        (b'\xef\xbb\xbf{"model": "cheap"}', "three"),
        (b'{"metadata": {"model": "cheap"}}', "model_missing"),
        (b'{"messages": [{"model": "cheap"}]}', "model_missing"),
        (b'[{"model": "cheap"}]', "model_missing"),
        (b'{"model": ["cheap"]}', "model_missing"),
        (b'{"model": {"model": "cheap"}}', "model_missing"),
        (b'{"model": null}', "model_missing"),
        (b"", "model_missing"),
        (b'{"model": 1}', "model_not_found"),
        (b'{"model": "Cheap"}', "model_not_found"),
        (b'{"model": "cheap "}', "model_not_found"),
        (b'{"model": "cheap\\u0000"}', "model_not_found"),
        (b'{"model": ""}', "model_not_found"),
        (b'{"model": "cheap"', "invalid_json"),
        (b'{"model": "cheap"} {"model": "chat"}', "invalid_json"),
        ('{"model": "cheap"}'.encode("utf-16"), "invalid_json"),
        (b'{"model": "cheap", "temperature": NaN}', "invalid_json"),
    ],
)
def test_the_top_level_model_alone_decides(world: World, body: bytes, by: str) -> None:
    assert served(world, body) == by


@pytest.mark.parametrize(
    ("content_type", "by"),
    [
        ("application/json; charset=utf-8", "three"),
        ("text/plain", "invalid_json"),
        ("multipart/form-data; boundary=x", "invalid_json"),
    ],
)
def test_only_json_is_read(world: World, content_type: str, by: str) -> None:
    assert served(world, b'{"model": "cheap"}', content_type) == by


def test_every_served_name_and_one_exact_revision(world: World) -> None:
    assert world.ask("acme/Chat").json()["by"] in ("one", "two")
    answer = world.ask("chat@22222222")
    assert answer.json()["by"] == "two"
    assert answer.headers["x-waybill-model-revision"] == TWO
    assert world.ask("chat@33333333").status_code == 404


def test_an_unknown_model_is_told_as_openai_does(world: World) -> None:
    answer = world.ask('no"pe')
    assert answer.status_code == 404
    assert answer.headers["content-type"] == JSON
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")
    assert 'no"pe' in error["message"]


@pytest.mark.parametrize(
    "path",
    ["chat/completions", "completions", "embeddings", "rerank", "score", "responses"],
)
def test_these_paths_reach_an_engine_as_they_are(world: World, path: str) -> None:
    with world.gateway.client(world.token) as client:
        assert client.post(f"/v1/{path}?x=1", json={"model": "cheap"}).status_code == 200
    assert world.three.last.path == f"/v1/{path}?x=1"
    assert json.loads(world.three.last.body) == {"model": "cheap"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/health",
        "/v1/load_lora_adapter",
        "/v1/embeddings/../../metrics",
        "/v1/embeddings/%2e%2e/%2e%2e/metrics",
        "/v1/chat/completions/x",
        "/reset_prefix_cache",
        "//metrics",
    ],
)
def test_nothing_else_of_an_engine_can_be_reached(world: World, path: str) -> None:
    with world.gateway.client(world.token) as client:
        answer = client.post(path, json={"model": "cheap"})
    assert answer.status_code in (400, 404), answer.text
    assert not world.three.received


def test_a_path_wants_post(world: World) -> None:
    with world.gateway.client(world.token) as client:
        answer = client.get(CHAT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_models_are_listed_as_openai_lists_them(world: World) -> None:
    with world.gateway.client(world.token) as client:
        listed = client.get("/v1/models").json()
        one = client.get("/v1/models/acme/Chat")
        quoted = client.get("/v1/models/acme%2FChat")
        none = client.get("/v1/models/nope")
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["chat", "acme/Chat", "cheap"]
    assert one.json() == quoted.json() == listed["data"][1]
    assert one.headers["content-type"] == JSON
    assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")


def test_probes_and_metrics_are_all_that_the_second_port_shows(world: World) -> None:
    with world.gateway.client(base_url=world.gateway.address(9902)) as client:
        assert client.get("/ready").status_code == 200
        assert client.get("/live").status_code == 200
        assert "envoy_http_downstream_rq_total" in client.get("/stats/prometheus").text
        assert client.post("/ready").status_code == 404
        for path in ("/config_dump", "/certs", "/ready/../config_dump", "/quitquitquit"):
            assert client.get(path).status_code == 404
            assert client.post(path).status_code == 404
