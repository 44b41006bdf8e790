"""Who gets in, and what of a client's headers goes on to the engines."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.gateway.conftest import CHAT, World
from tests.integration.gateway.peers import Issuer


def forged(good: Issuer, kind: str) -> str:
    """A token that must not be accepted."""
    now = int(time.time())
    claims = {"iss": good.issuer, "aud": "waybill-gateway", "azp": "acme", "exp": now + 300}
    public = good.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    match kind:
        case "another key of the same id":
            key = rsa.generate_private_key(65537, 2048)
            return jwt.encode(claims, key, "RS256", headers={"kid": "one"})
        case "no signature":
            return jwt.encode(claims, "", "none")
        case "the public key as a shared secret":
            # PyJWT refuses to sign so; an attacker has no such scruple.
            hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
            unsigned = jwt.encode(claims, "x" * 64, "HS256").rpartition(".")[0]
            signature = hs256.sign(unsigned.encode(), public)
            return f"{unsigned}.{jwt.utils.base64url_encode(signature).decode()}"
    changes: dict[str, dict[str, Any]] = {
        "another audience": {"aud": "waybill-hub"},
        "no audience": {"aud": None},
        "expired": {"exp": now - 120},
        "without an end": {"exp": None},
        "another issuer": {"iss": "https://elsewhere.example.com"},
        "not yet": {"nbf": now + 300},
    }
    return good.token(**changes[kind])


@pytest.mark.parametrize(
    "kind",
    [
        "another key of the same id",
        "no signature",
        "the public key as a shared secret",
        "another audience",
        "no audience",
        "expired",
        "without an end",
        "another issuer",
        "not yet",
    ],
)
def test_a_bad_token_is_refused(world: World, kind: str) -> None:
    with world.gateway.client(forged(world.issuers[0], kind)) as client:
        answer = client.post(CHAT, json={"model": "chat"})
    assert answer.status_code in (401, 403), kind
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not world.one.received + world.two.received


def test_without_a_token_nothing_is_shown(world: World) -> None:
    with world.gateway.client() as client:
        answers = [client.get("/v1/models"), client.get("/"), client.post(CHAT, content=b"{")]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json()["error"]["code"] == "invalid_token"


def test_a_token_counts_in_the_header_alone(world: World) -> None:
    with world.gateway.client() as client:
        answer = client.get("/v1/models", params={"access_token": world.token})
    assert answer.status_code == 401


def test_every_issuer_is_trusted_with_its_own_key_alone(world: World) -> None:
    first, second = world.issuers
    with world.gateway.client(second.token()) as client:
        assert client.get("/v1/models").status_code == 200
    with world.gateway.client(second.token(iss=first.issuer)) as client:
        assert client.get("/v1/models").status_code == 401


def test_engines_see_the_tenant_of_the_token_and_nothing_that_a_client_made_up(
    world: World,
) -> None:
    made_up = {
        "x-tenant": "someone-else",
        "x-llm-model": "cheap",
        "x-envoy-max-retries": "9",
        "cookie": "a=b",
    }
    assert world.ask("cheap", headers=made_up).status_code == 200
    seen = world.three.last.headers
    assert seen["x-tenant"] == "acme"
    assert not {"authorization", "cookie", "x-llm-model", "x-envoy-max-retries"} & seen.keys()


def test_a_made_up_tenant_does_not_survive_a_token_without_one(world: World) -> None:
    with world.gateway.client(world.issuers[0].token(azp=None)) as client:
        client.post(CHAT, json={"model": "cheap"}, headers={"x-tenant": "acme"})
    assert "x-tenant" not in world.three.last.headers
