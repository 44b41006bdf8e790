"""The keys of issuers: where they are, how long they are kept, and issuers that fail."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Clock
from tests.unit.hub.issuing import AUDIENCE, DISCOVERY, WHO, Issuing, new_key
from waybill.errors import IssuerUnreachable
from waybill.hub import auth, keys
from waybill.hub.issuers import Cluster, Issuer
from waybill.hub.keys import Keys
from waybill.hub.metrics import Metrics


def test_keys_are_where_the_issuer_says(
    trusting: Callable[..., TestClient], issuer: Issuing
) -> None:
    assert trusting().get(WHO, headers=issuer.bearer()).status_code == 200
    assert [path for path, _ in issuer.asked] == [DISCOVERY, "/keys"]
    issuer.asked.clear()
    hub = trusting(jwksUri=issuer.url + "/certs")
    assert hub.get(WHO, headers=issuer.bearer()).status_code == 200
    assert issuer.asked == [("/certs", None)]


def test_an_issuers_name_may_end_with_a_slash_and_counts_letter_by_letter(
    trusting: Callable[..., TestClient], issuer: Issuing
) -> None:
    name = issuer.discovery["issuer"] = issuer.url + "/"
    hub = trusting(issuer=name)
    assert hub.get(WHO, headers=issuer.bearer(iss=name)).status_code == 200
    assert hub.get(WHO, headers=issuer.bearer()).status_code == 401
    assert [path for path, _ in issuer.asked] == [DISCOVERY, "/keys"]


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
