"""Who may read: tokens, the keys that check them, and what clients are told."""

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Clock, Serve
from tests.unit.hub.issuing import AUDIENCE, WHO, Issuing, new_key
from tests.unit.hub.models import REPO
from waybill.hub import keys
from waybill.hub.app import OPEN, ROUTES
from waybill.manifest import Manifest

INVALID = "Invalid credentials in Authorization header"


def why(client: TestClient, token: str) -> str:
    answer = client.get(WHO, headers={b"Authorization": f"Bearer {token}".encode()})
    assert answer.status_code == 401
    error: str = answer.json()["error"]
    return error


def test_every_route_but_the_open_ones_needs_a_token(guarded: TestClient) -> None:
    values = {"owner": "a", "name": "b", "revision": "0" * 40, "path": "c"}
    values["digest"] = f"sha256:{'0' * 64}"
    for route in ROUTES:
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda part: values[part[1]], route.path)
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        answer = guarded.request(method, path)
        assert (answer.status_code == 401) == (route not in OPEN), path
    assert guarded.get("/no/such/route/at/all").status_code == 401
    assert ROUTES[: len(OPEN)] == OPEN, "what is let in comes to no other"


def test_what_a_client_without_a_token_is_told(guarded: TestClient) -> None:
    answer = guarded.get(f"/api/models/{REPO}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-error-code" not in answer.headers, "the client knows none for this"
    assert answer.headers["x-error-message"] == INVALID
    assert answer.headers["x-request-id"]
    assert answer.json() == {"error": "not signed in: the request has no token"}
    answer = guarded.get(WHO, headers={"Authorization": "Basic YTpi"})
    assert "not of the form: Bearer <token>" in answer.json()["error"]


def test_who_is_signed_in_may_read(guarded: TestClient, issuer: Issuing, tiny: Manifest) -> None:
    answer = guarded.get(f"/api/models/{REPO}", headers=issuer.bearer())
    assert answer.json()["sha"] == tiny.commit
    lower = {"authorization": issuer.bearer()["Authorization"].replace("Bearer", "bearer ")}
    assert guarded.get(f"/api/models/{REPO}", headers=lower).status_code == 200


def test_who_the_hub_takes_the_client_for(guarded: TestClient, issuer: Issuing) -> None:
    answer = guarded.get(WHO, headers=issuer.bearer(preferred_username="Ann")).json()
    assert (answer["type"], answer["name"], answer["fullname"]) == ("user", "somebody", "Ann")
    assert answer["auth"]["accessToken"] == {"displayName": "test", "role": "read"}
    assert guarded.get(WHO, headers=issuer.bearer()).json()["fullname"] == "somebody"


def test_an_open_hub_knows_nobody(serve: Serve, issuer: Issuing) -> None:
    hub = serve()
    assert hub.get(WHO, headers=issuer.bearer()).status_code == 401
    assert hub.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": -50},
        {"nbf": 50, "iat": 50},
        {"aud": ["account", AUDIENCE]},
    ],
)
def test_good_tokens(guarded: TestClient, issuer: Issuing, claims: dict[str, object]) -> None:
    assert guarded.get(WHO, headers=issuer.bearer(**claims)).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": -61}, "it has expired"),
        ({"nbf": 70}, "it is not valid yet"),
        ({"iat": 70}, "it is not valid yet"),
        ({"aud": "waybill-gateway"}, "not meant for this hub"),
        ({"aud": [AUDIENCE + "2"]}, "not meant for this hub"),
        ({"aud": None}, 'missing the "aud" claim'),
        ({"exp": None}, 'missing the "exp" claim'),
        ({"sub": None}, 'missing the "sub" claim'),
        ({"sub": 7}, "Subject must be a string"),
        ({"iss": "https://elsewhere"}, "does not trust its issuer"),
        ({"iss": None}, "does not trust its issuer"),
        ({"kid": None}, "does not name its key"),
        ({"kid": "second"}, "has no such key"),
        ({"kid": "encryption"}, "has no such key"),
    ],
)
def test_bad_claims(
    guarded: TestClient, issuer: Issuing, claims: dict[str, object], said: str
) -> None:
    assert said in why(guarded, issuer.token(**claims))  # type: ignore[arg-type]


def test_what_is_no_token(guarded: TestClient, issuer: Issuing) -> None:
    for text in ("hf_abc", "a.b.c", "..", "é", issuer.token()[:-20] + "."):
        assert "not signed in: the token is refused" in why(guarded, text)
    assert "longer than 16384 characters" in why(guarded, "x" * 20_000)


def unsigned(issuer: Issuing, alg: str, secret: bytes | None = None) -> str:
    """A token of that algorithm, made by hand since the library makes none such."""
    parts = [{"alg": alg, "kid": "first"}, issuer.claims()]
    signing = b".".join(_encoded(json.dumps(part).encode()) for part in parts)
    signature = hmac.digest(secret, signing, hashlib.sha256) if secret else b""
    return (signing + b"." + _encoded(signature)).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_only_the_algorithms_of_the_issuer(
    trusting: Callable[..., TestClient], issuer: Issuing
) -> None:
    guarded = trusting()
    public = issuer.keys["first"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for token in (unsigned(issuer, "none"), unsigned(issuer, "HS256", pem)):
        assert "(alg)" in why(guarded, token)
    issuer.others.append({"kty": "oct", "kid": "shared", "alg": "HS256", "k": "AAAA"})
    assert "no such key" in why(guarded, issuer.token("shared"))
    issuer.keys["rsa"] = rsa.generate_private_key(65537, 2048)
    pinned = trusting(algorithms=["ES256"])
    assert "(alg)" in why(pinned, issuer.token("rsa"))
    assert trusting().get(WHO, headers=issuer.bearer("rsa")).status_code == 200


def test_a_signature_by_another_key(guarded: TestClient, issuer: Issuing) -> None:
    forged = jwt.encode(issuer.claims(), new_key(), "ES256", headers={"kid": "first"})
    assert "its signature is wrong" in why(guarded, forged)
    head, _, tail = issuer.token().split(".")
    claims = _encoded(json.dumps(issuer.claims(sub="root")).encode()).decode()
    assert "its signature is wrong" in why(guarded, f"{head}.{claims}.{tail}")


def test_tokens_are_counted_by_how_they_were_judged(
    guarded: TestClient, issuer: Issuing, clock: Clock
) -> None:
    guarded.get(WHO)
    guarded.get(WHO, headers=issuer.bearer())
    guarded.get(WHO, headers=issuer.bearer(exp=-100))
    issuer.status = 500
    clock.now += keys.PAUSE
    guarded.get(WHO, headers=issuer.bearer("new"))
    text = guarded.get("/metrics").text
    for outcome in ("accepted", "missing", "refused", "unavailable"):
        assert f'waybill_hub_auth_total{{outcome="{outcome}"}} 1.0\n' in text
    # The store is not to blame.
    counts = re.findall(r"^waybill_hub_store_errors_total\{.*\} (\S+)$", text, re.M)
    assert set(counts) == {"0.0"}


def test_no_token_is_logged(
    guarded: TestClient, issuer: Issuing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [issuer.token(), issuer.token(exp=-100), "hf_hidden"]
    for token in tokens:
        guarded.get(WHO, headers={"Authorization": f"Bearer {token}"})
    assert "it has expired" in caplog.text
    assert not any(part in caplog.text for token in tokens for part in token.split("."))
