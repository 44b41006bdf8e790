"""One JSON object for each request: what operators and auditors need, and nothing secret."""

from typing import Any

import httpx

from tests.integration.gateway.conftest import CHAT, ONE, THREE, World
from tests.integration.gateway.peers import eventually


def entry(world: World, answer: httpx.Response) -> dict[str, Any]:
    request = answer.headers["x-request-id"]
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [one for one in world.gateway.logged() if one["request"] == request]
        return bool(found)

    eventually(there)
    return found[0]


def test_an_answered_request(world: World) -> None:
    answer = world.ask(json={"model": "cheap", "prompt": "a secret"}, params={"key": "hush"})
    said = entry(world, answer)
    expected = {
        "tenant": "acme",
        "method": "POST",
        "path": CHAT,
        "model": "cheap",
        "revision": THREE,
        "cluster": "cheap/stable",
        "attempts": 1,
        "code": 200,
        "flags": "-",
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "bytes_out": len(answer.content),
    }
    assert expected.items() <= said.items()
    assert 0 <= said["first_byte_ms"] <= said["duration_ms"]
    assert said["time"].endswith("Z")
    assert "secret" not in world.gateway.log.read_text()
    assert "hush" not in world.gateway.log.read_text()


def test_a_refused_request(world: World) -> None:
    with world.gateway.client() as client:
        said = entry(world, client.post(CHAT, json={"model": "cheap"}))
    assert (said["code"], said["tenant"], said["revision"]) == (401, None, None)
    assert said["details"].startswith("jwt_authn_access_denied")


def test_the_revision_is_the_one_that_answered(world: World) -> None:
    said = entry(world, world.ask(f"chat@{ONE[:8]}"))
    assert (said["model"], said["revision"]) == (f"chat@{ONE[:8]}", ONE)


def test_a_long_name_is_cut(world: World) -> None:
    assert len(entry(world, world.ask("x" * 5000))["model"]) == 128


def test_no_token_is_written_anywhere(world: World) -> None:
    token = world.token
    with world.gateway.client(token) as client:
        entry(world, client.get("/v1/models"))
    signature = token.rpartition(".")[2]
    assert signature not in world.gateway.log.read_text()
