"""Models that others serve: by TLS, under their own name, with a credential from a Secret."""

import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.gateway.certificates import Authority
from tests.integration.gateway.conftest import CHAT, values
from tests.integration.gateway.peers import Issuer, Peer, engine, eventually
from tests.integration.gateway.process import Gateway, gateway, mount


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new()


def model(url: str, **more: str) -> dict[str, Any]:
    return {"enabled": True, "target": "external", "external": {"url": url} | more}


@pytest.fixture(scope="module")
def outside(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[dict[str, Peer]]:
    """A server with a good certificate, and one whose certificate is another's."""
    folder = tmp_path_factory.mktemp("outside")
    good = authority.context("localhost", folder / "good")
    wrong = authority.context("elsewhere.example.com", folder / "wrong")
    with engine(Peer("good"), good) as first, engine(Peer("wrong"), wrong) as second:
        yield {"good": first, "wrong": second}


@pytest.fixture(scope="module")
def gate(
    tmp_path_factory: pytest.TempPathFactory,
    issuers: list[Issuer],
    outside: dict[str, Peer],
    authority: Authority,
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("external")
    given = values(issuers)
    address = f"https://localhost:{outside['good'].port}/base/v1"
    given["global"] |= {
        "pins": {},
        "caBundle": {"existingConfigMap": "ca"},
        "models": {
            "gpt": model(address, model="gpt-real", existingSecret="openai"),
            "same": model(address),
            "wrong": model(f"https://localhost:{outside['wrong'].port}", existingSecret="openai"),
        },
    }
    given["gateway"]["tls"] = {"secretName": "gateway-tls"}
    mount(folder / "ca", {"ca.crt": authority.pem})
    mount(folder / "tls", authority.issue("localhost"))
    for name in ("gpt", "wrong"):
        mount(folder / "credentials" / name, {"token": "sk-first\n"})
    with gateway(given, {}, folder) as gate:
        yield gate


def ask(gate: Gateway, authority: Authority, token: str, body: bytes) -> Any:
    headers = {"content-type": "application/json"}
    address = gate.url.replace("http://127.0.0.1", "https://localhost")
    with gate.client(token, base_url=address, verify=authority.trust()) as client:
        return client.post(CHAT, content=body, headers=headers)


def test_the_other_side_gets_its_name_its_key_and_no_more(
    gate: Gateway, authority: Authority, issuers: list[Issuer], outside: dict[str, Peer]
) -> None:
    body = b'{"model": "gpt", "seed": 12345678901, "temperature": 0.1, "n": 1, "s": "\\u00e9\\n"}'
    answer = ask(gate, authority, issuers[0].token(), body)
    assert answer.status_code == 200, answer.text
    seen = outside["good"].last
    assert seen.path == "/base/v1/chat/completions"
    assert seen.headers["host"] == f"localhost:{outside['good'].port}"
    assert seen.headers["authorization"] == "Bearer sk-first"
    assert not {"x-tenant", "x-forwarded-for", "cookie"} & seen.headers.keys()
    assert json.loads(seen.body) == json.loads(body) | {"model": "gpt-real"}
    assert json.loads(seen.body)["n"].__class__ is int


@pytest.mark.parametrize("name", ["gpt", "same"])
def test_a_second_model_in_the_body_is_refused(
    gate: Gateway,
    authority: Authority,
    issuers: list[Issuer],
    outside: dict[str, Peer],
    name: str,
) -> None:
    """The other side might take the first one, which nobody allowed."""
    before = len(outside["good"].received)
    body = b'{"model": "gpt-expensive", "model": "%s"}' % name.encode()
    answer = ask(gate, authority, issuers[0].token(), body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert len(outside["good"].received) == before


def test_without_a_secret_no_credential_is_sent(
    gate: Gateway, authority: Authority, issuers: list[Issuer], outside: dict[str, Peer]
) -> None:
    assert ask(gate, authority, issuers[0].token(), b'{"model": "same"}').status_code == 200
    seen = outside["good"].last
    assert json.loads(seen.body) == {"model": "same"}
    assert not {"authorization", "x-llm-model"} & seen.headers.keys()


def test_a_certificate_of_another_name_gets_no_credential(
    gate: Gateway, authority: Authority, issuers: list[Issuer], outside: dict[str, Peer]
) -> None:
    answer = ask(gate, authority, issuers[0].token(), b'{"model": "wrong"}')
    assert answer.status_code == 503
    assert not outside["wrong"].received


def test_a_new_credential_is_taken_up(
    gate: Gateway, authority: Authority, issuers: list[Issuer], outside: dict[str, Peer]
) -> None:
    mount(gate.places.folder / "credentials" / "gpt", {"token": "sk-second"})

    def sent() -> str:
        ask(gate, authority, issuers[0].token(), b'{"model": "gpt"}')
        return outside["good"].last.headers["authorization"]

    eventually(lambda: sent() == "Bearer sk-second")


def test_a_new_certificate_is_taken_up(gate: Gateway, authority: Authority) -> None:
    port = gate.places.ports[8080]
    before = ssl.get_server_certificate(("127.0.0.1", port))
    mount(gate.places.folder / "tls", authority.issue("localhost"))
    eventually(lambda: ssl.get_server_certificate(("127.0.0.1", port)) != before)
