"""How often and how much one tenant may ask, and what is said to who asks for more."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.conftest import CHAT, THREE, pin, values
from tests.integration.gateway.peers import Issuer, Peer, engine
from tests.integration.gateway.process import Gateway, gateway

LARGEST = 20_000


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with engine(Peer("three")) as peer:
        yield peer


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, issuers: list[Issuer], peer: Peer
) -> Iterator[Gateway]:
    given = values(issuers)
    given["global"]["pins"] = {"cheap": pin(stable=(THREE, 100))}
    tenants = {"large": {"requestsPerMinute": 60}}
    given["gateway"] = {
        "limits": {
            "requestBytes": LARGEST,
            "responseBytes": 2_000_000,
            "requestsPerMinute": 4,
            "tenants": tenants,
        }
    }
    folder = tmp_path_factory.mktemp("limits")
    with gateway(given, {"vllm-cheap": peer.port}, folder) as gate:
        yield gate


def codes(gate: Gateway, token: str, number: int) -> list[int]:
    with gate.client(token) as client:
        return [client.get("/v1/models").status_code for _ in range(number)]


def test_each_tenant_has_a_limit_of_its_own(limited: Gateway, issuers: list[Issuer]) -> None:
    first, second = issuers[0].token("first"), issuers[0].token("second")
    assert codes(limited, first, 6) == [200] * 4 + [429] * 2
    assert codes(limited, second, 4) == [200] * 4
    assert codes(limited, issuers[0].token("large"), 40) == [200] * 40


def test_who_has_no_tenant_shares_one_limit(limited: Gateway, issuers: list[Issuer]) -> None:
    nameless = [one.token(azp=None) for one in issuers]
    assert [codes(limited, token, 3) for token in nameless] == [[200] * 3, [200, 429, 429]]


def test_a_refused_request_is_told_when_to_come_back(
    limited: Gateway, issuers: list[Issuer]
) -> None:
    token = issuers[0].token("third")
    codes(limited, token, 4)
    with limited.client(token) as client:
        answer = client.post(CHAT, json={"model": "cheap"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-ratelimit-limit"].startswith("4")
    assert answer.headers["x-ratelimit-remaining"] == "0"
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")


def test_a_body_may_have_so_many_bytes(limited: Gateway, issuers: list[Issuer], peer: Peer) -> None:
    start, end = b'{"model": "cheap", "p": "', b'"}'
    with limited.client(issuers[0].token("large")) as client:

        def size(number: int) -> int:
            body = start + b"x" * (number - len(start) - len(end)) + end
            headers = {"content-type": "application/json"}
            return client.post(CHAT, content=body, headers=headers).status_code

        assert size(LARGEST) == 200
        assert len(peer.last.body) == LARGEST
        assert size(LARGEST + 1) == 413
        answer = client.post(CHAT, json={"model": "cheap", "p": "x" * LARGEST})
    assert answer.json()["error"]["code"] == "request_too_large"
    assert len(peer.received) == 1


def test_an_answer_may_be_larger_than_any_request(
    limited: Gateway, issuers: list[Issuer], peer: Peer
) -> None:
    """Embeddings of a short list of texts are longer than the texts."""
    with limited.client(issuers[0].token("large")) as client:
        peer.padding = 1_900_000
        answer = client.post("/v1/embeddings", json={"model": "cheap"})
        peer.padding = 2_100_000
        refused = client.post("/v1/embeddings", json={"model": "cheap"})
    assert answer.status_code == 200
    assert len(answer.json()["padding"]) == 1_900_000
    assert (refused.status_code, refused.json()["error"]["type"]) == (500, "server_error")
