"""What each gate looks at closely, and what becomes of all verdicts together."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.release.site import HOUR, Site
from tests.unit.release.test_apply import saved
from tests.unit.release.test_gates import ALWAYS, HEALTH, NEVER, TABLE, judged, rolled_back, sent
from tests.unit.release.world import REPO
from waybill.errors import Frozen, PromotionDenied, Unsigned
from waybill.release import apply, gates, hold
from waybill.release.apply import Application
from waybill.release.gates.case import Result
from waybill.sign import trust
from waybill.sign.predicates import stamp
from waybill.sign.trust import now
from waybill.store import layout


def test_bytes_that_are_to_come_are_judged_later(site: Site) -> None:
    site.policy(require=["bytes"])
    found = site.verdict("bytes")
    assert (found.result, found.denies) == (Result.SKIP, False)
    assert "2 files (3,013 bytes) are sent and each is verified" in found.reason


def test_deep_reads_every_byte_back(site: Site) -> None:
    site.policy(bytes="deep")
    sent(site)
    assert "read back" in judged(site, "bytes").reason
    file = site.world.store("dev").manifest(REPO, site.commit()).by_path["model.safetensors"]
    path = site.folder("test", layout.blob(file.digest))
    path.write_bytes(b"x" * file.size)
    found = judged(site, "bytes")
    assert (found.result, "expected sha256:" in found.reason) == (Result.FAIL, True)


@pytest.mark.parametrize(
    ("licenses", "why"),
    [
        ([], "nobody says its license"),
        ([None], "who says its license knows none"),
        (["apache-2.0", "cc-by-nc-4.0"], "CC-BY-NC-4.0 is not allowed"),
        (["apache-2.0", None], "who says its license knows none"),
        (["my own"], "my own is not allowed"),
        (["APACHE-2.0"], ""),
    ],
)
def test_each_license_that_is_stated_has_to_be_allowed(
    site: Site, licenses: list[str | None], why: str
) -> None:
    site.policy(licenses=["apache-2.0", "mit"])
    for name in licenses:
        site.license(name)
    found = site.verdict("license")
    assert (found.result, found.reason) == ("fail", why) if why else found.result == "pass"


def test_license_is_said_by_whom_the_policy_names(site: Site) -> None:
    """Whoever may write to the store could say any; who says a worse one is believed at once."""
    site.policy(licenses=["MIT"], signers=["release"])
    site.license("MIT")
    site.license("MIT", "ci")
    assert site.verdict("license").reason == "none of release has signed what says its license"
    site.license("MIT", "release")
    assert site.verdict("license").result == "pass"
    site.license("cc-by-nc-4.0")
    assert site.verdict("license").result == "fail"


def test_soak_begins_when_the_commit_came_not_when_a_hold_ended(site: Site) -> None:
    site.policy(soak="1h")
    store, world = site.world.store("dev"), site.world
    ref = layout.Ref.pin("dev", "chat")
    for held in (True, False):
        head = store.head(REPO, ref)
        assert head
        store.move(REPO, ref, head.commit, expected=head, by="a", why="b", hold=held)
    came = datetime.fromisoformat(world.records("dev")[2].at)
    assert world.records("dev")[2].commit == site.commit()
    assert site.verdict("soak", site.prepare(came + HOUR)).result == "pass"
    assert site.verdict("soak", site.prepare(came + 0.99 * HOUR)).result == "fail"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "watched in dev for 0 s of 1 h"),
        ([(-1, 0.5)], "watched in dev for 30 min of 1 h"),
        ([(0, 0.5), (0.25, 0.5)], "watched in dev for 30 min of 1 h"),
        ([(0, 0.5), (0.6, 5)], "watched in dev for 54 min of 1 h"),
        ([(-5, -1)], "watched in dev for 0 s of 1 h"),
        ([(0, 0.6), (0.4, 1)], ""),
    ],
)
def test_watched_time_counts_once_and_only_since_it_was_pinned(
    site: Site, said: list[tuple[float, float]], why: str
) -> None:
    site.policy(health={"signedBy": ["watch"], "for": "1h"})
    came = datetime.fromisoformat(site.world.records("dev")[0].at).astimezone(UTC)
    for since, until in said:
        site.say(site.watched(came + since * HOUR, came + until * HOUR), "watch")
    found = site.verdict("health", site.prepare(came + HOUR))
    assert (found.result, found.reason) == ("fail", why) if why else found.result == "pass"


BAD = "the gateway has 0 of 1 engines"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ([(0, 1, BAD)], "0 s"),
        ([(0, 2, ""), (1, 2, BAD)], "0 s"),
        ([(0, 2, ""), (2, 2.1, BAD)], "0 s"),
        ([(0, 0.5, BAD), (0.5, 1.25, "")], "45 min"),
        ([(0, 0.5, BAD), (0.25, 1.25, ""), (1.25, 1.3, BAD), (1.3, 2, "")], "42 min"),
        ([(0, 0.5, BAD), (0.5, 1.5, "")], ""),
        ([(-2, -1, BAD), (0, 1, "")], ""),
    ],
)
def test_time_before_the_last_bad_word_counts_for_nothing(
    site: Site, said: list[tuple[float, float, str]], left: str
) -> None:
    """However few of its requests failed: who does not answer has none."""
    site.policy(health={"signedBy": ["watch"], "for": "1h", "requests": 1, "errorRate": 0.01})
    came = datetime.fromisoformat(site.world.records("dev")[0].at).astimezone(UTC)
    for since, until, why in said:
        site.say(site.watched(came + since * HOUR, came + until * HOUR, why=why), "watch")
    found = site.verdict("health", site.prepare(came + 3 * HOUR))
    assert found.result == ("fail" if left else "pass"), found.reason
    if left:
        last = max(until for _, until, why in said if why)
        assert f"since it did badly until {stamp(came + last * HOUR)}: {BAD}" in found.reason
        assert f"for {left} of 1 h" in found.reason or "0 of 1 requests" in found.reason


def test_a_bad_word_is_no_ground_of_a_promotion(site: Site) -> None:
    site.say(site.watched(now() - HOUR, now(), why=BAD), "watch")
    good = site.say(site.watched(now() - HOUR, now()), "watch")
    apply.carry_out(site.take(saved(site)))
    assert site.world.records("test")[0].evidence == (good,)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"ttft_seconds": {"p95": 3.0}}, "the first token took 3 s (p95), and 2 s may pass"),
        ({"requests": 9}, "9 of 10 requests were seen"),
        ({"environment": "prod"}, "0 of 10 requests were seen"),
        ({"model": "other"}, "0 of 10 requests were seen"),
        ({"commit": "0" * 40}, "0 of 10 requests were seen"),
    ],
)
def test_health_of_another_place_or_too_slow_is_none(
    site: Site, more: dict[str, Any], why: str
) -> None:
    site.policy(health={**HEALTH, "ttftP95Seconds": 2})
    facts = {"environment": "dev", "model": "chat", "commit": site.commit()}
    made = site.watched(now() - HOUR, now() + HOUR)
    site.say(type(made)(**{**made.__dict__, **facts, **more}), "watch")
    assert site.verdict("health", site.prepare(now() + HOUR)).reason == why


@pytest.mark.parametrize("key", ["alice", None])
def test_evidence_of_other_keys_does_not_count(site: Site, key: str | None) -> None:
    site.policy(health=HEALTH, evaluations={"smoke": {"signedBy": ["ci"]}})
    site.say(site.watched(now() - HOUR, now() + HOUR), key)
    site.say(site.tested(), key)
    application = site.prepare(now() + HOUR)
    assert site.verdict("health", application).result == "fail"
    assert site.verdict("evaluation", application).reason == "smoke: no result signed by ci"


@pytest.mark.parametrize("gate", ["license", "evaluation", "health", "approvals"])
def test_more_than_is_read_denies_and_says_so(
    site: Site, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among what is not read may be what says no."""
    site.policy(**TABLE[gate].asks)
    TABLE[gate].passes(site)
    found = judged(site, gate, lambda _: monkeypatch.setattr(trust, "ENVELOPES", 1))
    assert (found.result, found.denies) == (Result.ERROR, True)
    assert "more than 1 statements are kept about " in found.reason


def test_newest_result_decides_and_may_be_too_old(site: Site) -> None:
    rule = {"signedBy": ["ci"], "environment": "dev"}
    site.policy(evaluations={"smoke": {**rule, "maxAge": "2h"}})
    site.say(site.tested("FAILED", at=now() - 2 * HOUR), "ci")
    site.say(site.tested(at=now() - HOUR), "ci")
    site.say(site.tested("FAILED", name="other"), "ci")
    site.say(site.tested("FAILED", environment="prod"), "ci")
    assert site.verdict("evaluation").result == "pass"
    assert "is older than 2 h" in site.verdict("evaluation", site.prepare(now() + 2 * HOUR)).reason
    site.say(site.tested("WARNED"), "ci")
    assert "smoke: WARNED in dev" in site.verdict("evaluation").reason
    site.policy(evaluations={"smoke": {**rule, "warnings": "allow"}})
    assert site.verdict("evaluation").result == "pass"


def test_freeze_alone_has_an_exit_code_of_its_own(site: Site) -> None:
    site.policy(freeze={"always": ALWAYS})
    with pytest.raises(Frozen, match=r"by always in values/policy.yaml:\d+") as caught:
        site.prepare().allowed()
    assert caught.value.exit_code == 6
    site.policy(freeze={"always": ALWAYS}, repos=["other/*"])
    with pytest.raises(PromotionDenied, match=r"repo of chat .*; freeze") as denied:
        site.prepare().allowed()
    assert denied.value.exit_code == 3


def test_any_window_denies_and_the_longest_is_told(site: Site) -> None:
    more = {"cron": "* * * * *", "duration": "2d", "timeZone": "UTC"}
    site.policy(freeze={"elsewhere": NEVER, "long": more, "short": ALWAYS})
    assert site.verdict("freeze").reason.startswith("by long, ")


def test_reason_overrides_a_freeze_and_nothing_else(site: Site) -> None:
    site.policy(freeze={"always": ALWAYS})
    application = site.prepare(override="the old one leaks")
    assert "the old one leaks" in site.verdict("freeze", application).reason
    application.allowed()
    site.policy(freeze={"always": ALWAYS}, repos=["other/*"])
    with pytest.raises(PromotionDenied):
        site.prepare(override="the old one leaks").allowed()


def test_hold_is_released_by_a_record(site: Site) -> None:
    site.policy()
    rolled_back(site)
    with pytest.raises(PromotionDenied, match=r"hold of chat .*it talks too much"):
        site.prepare().allowed()
    hold.release(site.world["test"], "chat", by="eve", why="mended")
    site.prepare().allowed()


def test_without_a_policy_trust_says_itself_what_it_wants(site: Site) -> None:
    site.trust("release")
    with pytest.raises(Unsigned):
        site.prepare().allowed()


def test_every_gate_is_asked_of_each_model(site: Site) -> None:
    site.policy()
    site.world.pin("dev", site.commit(), "draft")
    application: Application = site.prepare()
    asked = [(one.gate, one.model) for one in application.verdicts]
    assert asked == [
        *((gate, model) for model in ("chat", "draft") for gate in gates.OF_MODELS),
        *((gate, None) for gate in gates.OF_PLANS),
    ]
