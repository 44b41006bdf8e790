"""Who may read: tokens, the keys that check them, and what clients are told."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Serve
from tests.unit.hub.issuing import AUDIENCE, DISCOVERY, Issuing, issuing, new_key
from tests.unit.hub.models import REPO
from waybill.errors import IssuerUnreachable
from waybill.hub import auth, keys
from waybill.hub.app import ROUTES
from waybill.hub.issuers import Cluster, Issuer
from waybill.hub.keys import Keys
from waybill.hub.metrics import Metrics
from waybill.manifest import Manifest

WHO = "/api/whoami-v2"
INVALID = "Invalid credentials in Authorization header"


@pytest.fixture
def issuer() -> Iterator[Issuing]:
    with issuing() as server:
        yield server


@pytest.fixture
def trusting(serve: Serve, issuer: Issuing, tmp_path: Path) -> Callable[..., TestClient]:
    """A hub that trusts the issuer, whose entry in the file is changed as given."""

    def start(**changes: object) -> TestClient:
        path = tmp_path / "issuers.json"
        path.write_text(json.dumps({"issuers": [{**issuer.entry(), **changes}]}))
        return serve(auth="required", issuers_file=str(path))

    return start


@pytest.fixture
def guarded(trusting: Callable[..., TestClient]) -> TestClient:
    return trusting()


class Clock:
    """The clock of the keys; `now` is set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(keys, "monotonic", stopped)
    return stopped


def why(client: TestClient, token: str) -> str:
    answer = client.get(WHO, headers={b"Authorization": f"Bearer {token}".encode()})
    assert answer.status_code == 401
    error: str = answer.json()["error"]
    return error


def test_every_route_but_the_open_ones_needs_a_token(guarded: TestClient) -> None:
    values = {"owner": "a", "name": "b", "revision": "main", "path:path": "c", "path": "c"}
    for route in ROUTES:
        path = route.path.replace("{path:path}", "{path}").format(**values)
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        answer = guarded.request(method, path)
        assert (answer.status_code == 401) == (path not in auth.OPEN), path
    assert guarded.get("/no/such/route/at/all").status_code == 401
    assert sorted(auth.OPEN) == ["/healthz", "/metrics", "/readyz"]


def test_what_a_client_without_a_token_is_told(guarded: TestClient) -> None:
    answer = guarded.get(f"/api/models/{REPO}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-error-code"] == "NotSignedIn"
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
    assert "store_errors_total{" not in text


def test_no_token_is_logged(
    guarded: TestClient, issuer: Issuing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [issuer.token(), issuer.token(exp=-100), "hf_hidden"]
    for token in tokens:
        guarded.get(WHO, headers={"Authorization": f"Bearer {token}"})
    assert "it has expired" in caplog.text
    assert not any(part in caplog.text for token in tokens for part in token.split("."))


# Keys.


def test_keys_are_where_the_issuer_says(
    trusting: Callable[..., TestClient], issuer: Issuing
) -> None:
    assert trusting().get(WHO, headers=issuer.bearer()).status_code == 200
    assert [path for path, _ in issuer.asked] == [DISCOVERY, "/keys"]
    issuer.asked.clear()
    hub = trusting(jwksUri=issuer.url + "/certs")
    assert hub.get(WHO, headers=issuer.bearer()).status_code == 200
    assert issuer.asked == [("/certs", None)]


@pytest.mark.parametrize(
    ("discovery", "said"),
    [
        ({"issuer": "https://other", "jwks_uri": "{url}/keys"}, "speaks for 'https://other'"),
        ({"issuer": "{url}", "jwks_uri": "file:///etc/passwd"}, "does not say where the keys"),
        ({"issuer": "{url}"}, "does not say where the keys"),
    ],
)
def test_a_discovery_that_is_not_followed(
    guarded: TestClient, issuer: Issuing, discovery: dict[str, str], said: str
) -> None:
    issuer.discovery = {key: text.format(url=issuer.url) for key, text in discovery.items()}
    answer = guarded.get(WHO, headers=issuer.bearer())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert said in answer.json()["error"]


def test_keys_and_checked_tokens_are_kept(
    guarded: TestClient, issuer: Issuing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = auth.check

    def counted(token: str, *rest: object) -> object:
        checked.append(token)
        return check(token, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(auth, "check", counted)
    headers = issuer.bearer()
    for _ in range(100):
        assert guarded.get(WHO, headers=headers).status_code == 200
    assert (len(checked), len(issuer.asked)) == (1, 2)
    # Not beyond the age of its key, nor its own end.
    clock.now += keys.FRESH + 1
    assert guarded.get(WHO, headers=headers).status_code == 200
    assert (len(checked), len(issuer.asked)) == (2, 4)
    now = time.time()
    monkeypatch.setattr(auth, "time", type("Later", (), {"time": lambda: now + 400}))
    guarded.get(WHO, headers=headers)
    assert len(checked) == 3


def test_only_so_many_tokens_are_remembered(
    guarded: TestClient, issuer: Issuing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "KEPT", 3)
    for name in "abcdef":
        assert guarded.get(WHO, headers=issuer.bearer(sub=name)).json()["name"] == name
    stack = guarded.app.middleware_stack  # type: ignore[attr-defined]
    while not isinstance(stack, auth.Gate):
        stack = getattr(stack, "app", None) or stack._app
    assert len(stack._auth._checked) == 3


def test_new_keys_are_found_without_a_restart(
    guarded: TestClient, issuer: Issuing, clock: Clock
) -> None:
    old = issuer.bearer()
    assert guarded.get(WHO, headers=old).status_code == 200
    issuer.keys = {"second": new_key()}
    new = issuer.bearer("second")
    assert guarded.get(WHO, headers=new).status_code == 401
    clock.now += keys.PAUSE
    assert guarded.get(WHO, headers=new).status_code == 200
    assert guarded.get(WHO, headers=old).status_code == 401


def test_made_up_keys_do_not_flood_the_issuer(
    guarded: TestClient, issuer: Issuing, clock: Clock
) -> None:
    for number in range(50):
        assert guarded.get(WHO, headers=issuer.bearer(f"made-up-{number}")).status_code == 401
    assert len(issuer.asked) == 2
    clock.now += keys.PAUSE
    guarded.get(WHO, headers=issuer.bearer("made-up"))
    guarded.get(WHO, headers=issuer.bearer("made-up"))
    assert len(issuer.asked) == 4


def test_old_keys_go_on_while_the_issuer_is_lost(
    guarded: TestClient, issuer: Issuing, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    headers = issuer.bearer()
    assert guarded.get(WHO, headers=headers).status_code == 200
    issuer.status = 500
    for _ in range(3):
        clock.now += keys.FRESH + 1
        assert guarded.get(WHO, headers=headers).status_code == 200
    assert caplog.text.count("the keys of issuer test cannot be fetched") == 1
    # Whether a key that is not known is a new one cannot be told now.
    assert guarded.get(WHO, headers=issuer.bearer("new")).status_code == 503
    text = guarded.get("/metrics").text
    assert 'waybill_hub_key_fetches_total{issuer="test",outcome="failed"}' in text


def test_an_issuer_that_was_never_reached(
    guarded: TestClient, issuer: Issuing, clock: Clock
) -> None:
    issuer.status = 503
    for _ in range(5):
        answer = guarded.get(WHO, headers=issuer.bearer())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "keys of the issuer test cannot be fetched: " in answer.json()["error"]
    assert len(issuer.asked) == 1
    issuer.status = 200
    clock.now += keys.PAUSE
    assert guarded.get(WHO, headers=issuer.bearer()).status_code == 200


def test_an_issuer_that_hangs_does_not_hold_up_every_request(
    issuer: Issuing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "HASTE", 0.01)
    trusted = Issuer("test", issuer.url, AUDIENCE, issuer.url + "/keys")

    async def ask() -> None:
        ring = Keys(Metrics())
        await ring.find(trusted, "first")
        monkeypatch.setattr(keys, "FRESH", 0.0)
        monkeypatch.setattr(keys, "PAUSE", 0.0)
        issuer.gate.clear()
        for _ in range(50):
            assert await ring.find(trusted, "first")
        assert len(issuer.asked) <= 2
        issuer.gate.set()

    asyncio.run(ask())


def test_requests_at_the_same_time_share_a_fetch(issuer: Issuing) -> None:
    issuer.gate.clear()
    trusted = Issuer("test", issuer.url, AUDIENCE, issuer.url + "/keys")

    async def ask() -> None:
        ring = Keys(Metrics())
        asking = asyncio.gather(*(ring.find(trusted, "first") for _ in range(50)))
        while not issuer.asked:
            await asyncio.sleep(0.001)
        assert not asking.done()
        issuer.gate.set()
        assert all(await asking)

    asyncio.run(ask())
    assert len(issuer.asked) == 1


def test_keys_of_the_cluster_are_asked_for_with_the_own_token(
    issuer: Issuing, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(issuer.token())
    trusted = Cluster(issuer.url, str(token), "").issuer(AUDIENCE)
    assert asyncio.run(Keys(Metrics()).find(trusted, "first"))
    assert issuer.asked == [("/openid/v1/jwks", f"Bearer {token.read_text()}")]
    # Never sent on to where an answer points.
    issuer.status = 302
    with pytest.raises(IssuerUnreachable, match="answered 302"):
        asyncio.run(Keys(Metrics()).find(trusted, "first"))
    assert [path for path, _ in issuer.asked] == ["/openid/v1/jwks"] * 2
    missing = Issuer("test", issuer.url, AUDIENCE, ca_bundle=str(tmp_path / "ca.pem"))
    with pytest.raises(IssuerUnreachable, match=r"ca\.pem: No such file"):
        asyncio.run(Keys(Metrics()).find(missing, "first"))
