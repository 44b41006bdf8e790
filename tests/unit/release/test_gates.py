"""Every gate passes, fails, is skipped and finds nothing out, each with a reason and its rule."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.release.site import HOUR, Site
from tests.unit.release.world import REPO
from waybill.errors import Frozen, PromotionDenied, Unsigned
from waybill.release import approve, gates, hold, move, rollback
from waybill.release.apply import Application
from waybill.release.gates.case import Result, Verdict
from waybill.release.policy_schema import GATES
from waybill.sign.trust import now
from waybill.store import layout

ALWAYS = {"cron": "* * * * *", "duration": "1d", "timeZone": "UTC"}
NEVER = {"cron": "0 0 1 1 *", "duration": "1s", "timeZone": "UTC", "environments": ["prod"]}
HEALTH = {"signedBy": ["watch"], "for": "1h", "requests": 10, "errorRate": 0.02}
Set = Callable[[Site], Any]


def nothing(_: Site) -> None:
    pass


@dataclass(frozen=True)
class Row:
    """A gate: the policy that asks for it, and what makes it say each of the four things.

    `error` comes between the plan and its judgement; None where the gate reads nothing that could
    fail. `words` are in the reasons of passing and failing.
    """

    asks: dict[str, Any]
    passes: Set
    fails: Set
    error: Set | None
    words: tuple[str, str]
    later: bool = False
    """Judged once the bytes are there."""


def script(answer: str) -> dict[str, Any]:
    return {"gates": {"scan": {"command": [sys.executable, "-c", answer]}}}


def says(result: str) -> str:
    return f"import json; print(json.dumps({{'result': '{result}', 'reason': 'it is {result}'}}))"


def health(site: Site, **more: Any) -> None:
    site.say(site.watched(now() - HOUR, now() + HOUR, **more), "watch")


def soaked(site: Site) -> None:
    """Nothing to do: the record is older than the soak of a second would be at the time asked."""


def rolled_back(site: Site) -> None:
    world = site.world
    world.pin("test", world.revision("test", 7).commit)
    step = rollback.plan(world["test"], "chat")
    reason = move.Reason("dora", "it talks too much", hold=hold.puts_hold(site.environments))
    move.carry_out([step], reason=reason)


def approved(site: Site, key: str = "alice", by: str = "alice") -> None:
    plan = site.prepare().plan
    approve.approve(site.environments, plan, "plan.json", site.keys[key], by, now())


def sent(site: Site) -> None:
    world = site.world
    manifest = world.store("dev").manifest(REPO, site.commit())
    world.revision("test", 2)
    assert world.store("test").manifest(REPO, site.commit()) == manifest


def lost(site: Site) -> None:
    sent(site)
    file = site.world.store("dev").manifest(REPO, site.commit()).by_path["model.safetensors"]
    site.folder("test", layout.blob(file.digest)).unlink()


def unreadable(site: Site) -> None:
    sent(site)
    site.damage_revision("test")


def signed(site: Site) -> None:
    site.trust("release")
    site.sign("release")


def release_asked(site: Site) -> None:
    site.trust("release")


TABLE = {
    "repo": Row(
        {"repos": ["acme/*"]},
        nothing,
        lambda site: site.policy(repos=["other/*"]),
        None,
        ("Acme/Chat is one of acme/*", "Acme/Chat is none of other/*"),
    ),
    "license": Row(
        {"licenses": ["Apache-2.0"]},
        lambda site: site.license("apache-2.0"),
        lambda site: site.license("cc-by-nc-4.0"),
        Site.damage_statements,
        ("Apache-2.0", "CC-BY-NC-4.0 or cc-by-nc-4.0 is not allowed"),
    ),
    "signature": Row(
        {},
        signed,
        release_asked,
        lambda site: site.damage_statements(),
        ("signed as values/trust/test.yaml asks", "is not signed"),
    ),
    "signer": Row(
        {"signers": ["release"]},
        lambda site: site.sign("release"),
        lambda site: site.sign("ci"),
        Site.damage_statements,
        ("release", "none of release has signed its provenance"),
    ),
    "bytes": Row(
        {"bytes": "checked"},
        sent,
        lost,
        unreadable,
        ("3 files in file:", " lacks sha256:"),
        later=True,
    ),
    "soak": Row(
        {"soak": "30m"},
        soaked,
        lambda site: site.policy(soak="2h"),
        lambda site: site.damage_ref("dev"),
        ("of 30 min", "of 2 h"),
    ),
    "health": Row(
        {"health": HEALTH},
        health,
        lambda site: health(site, errors=3),
        Site.damage_statements,
        ("0 of 100 requests failed", "3 of 100 requests failed, and 2.00% may"),
    ),
    "evaluation": Row(
        {"evaluations": {"smoke": {"signedBy": ["ci"]}}},
        lambda site: site.say(site.tested(), "ci"),
        lambda site: site.say(site.tested("FAILED"), "ci"),
        Site.damage_statements,
        ("passed: smoke", "smoke: FAILED in dev"),
    ),
    "approvals": Row(
        {"approvals": {"count": 1, "of": ["alice", "bob"]}},
        approved,
        nothing,
        Site.damage_statements,
        ("1 of 1 have approved", "0 of 1 have approved"),
    ),
    "freeze": Row(
        {},
        lambda site: site.policy(freeze={"never": {**NEVER, "environments": ["test"]}}),
        lambda site: site.policy(freeze={"always": ALWAYS}),
        None,
        ("in no window", "always until"),
    ),
    "hold": Row(
        {},
        nothing,
        rolled_back,
        lambda site: site.damage_ref("test"),
        ("no hold in test", "held by dora since"),
    ),
    "scan": Row(
        script(says("pass")),
        nothing,
        lambda site: site.policy(**script(says("fail"))),
        lambda site: (site.project / "marker").touch(),
        ("it is pass", "it is fail"),
    ),
}


def judged(site: Site, gate: str, between: Set = nothing) -> Verdict:
    """At an hour from now, so that what was just written is old enough."""
    application = site.prepare(now() + HOUR)
    between(site)
    if TABLE[gate].later:
        application = application.later(now() + HOUR)
    return site.verdict(gate, application)


def test_table_has_every_gate_and_one_of_a_site() -> None:
    assert set(TABLE) == {*GATES, "scan"} == {*gates.OF_MODELS, *gates.OF_PLANS, "scan"}
    assert {gate for gate, row in TABLE.items() if row.error is None} == {"repo", "freeze"}


@pytest.mark.parametrize("gate", TABLE)
def test_pass(site: Site, gate: str) -> None:
    site.policy(**TABLE[gate].asks)
    TABLE[gate].passes(site)
    found = judged(site, gate)
    assert (found.result, found.denies) == (Result.PASS, False), found.reason
    assert TABLE[gate].words[0] in found.reason


@pytest.mark.parametrize("gate", TABLE)
def test_fail(site: Site, gate: str) -> None:
    site.policy(**TABLE[gate].asks)
    TABLE[gate].fails(site)
    found = judged(site, gate)
    assert (found.result, found.denies) == (Result.FAIL, True), found.reason
    assert TABLE[gate].words[1] in found.reason
    assert found.line
    assert (site.project / str(found.file)).is_file()


@pytest.mark.parametrize("gate", [gate for gate in TABLE if gate not in ("hold", "bytes")])
def test_skip(site: Site, gate: str) -> None:
    if gate == "scan":
        site.policy(**script(says("skip")))
    else:
        site.policy()
    found = judged(site, gate)
    assert (found.result, found.denies) == (Result.SKIP, False)
    assert found.reason


@pytest.mark.parametrize("gate", [gate for gate in TABLE if gate not in ("scan", "signature")])
def test_without_a_policy_gates_are_skipped_and_say_so(site: Site, gate: str) -> None:
    found = site.verdict(gate, site.prepare())
    assert (found.result, found.denies, found.line) == (Result.SKIP, False, None)


@pytest.mark.parametrize("gate", [gate for gate, row in TABLE.items() if row.error])
def test_error_denies_like_a_failure(site: Site, gate: str) -> None:
    row = TABLE[gate]
    site.policy(**row.asks)
    if gate == "scan":
        site.policy(**script("import os; assert not os.path.exists('marker'); print('well')"))
    if gate != "bytes":
        row.passes(site)
    found = judged(site, gate, row.error or nothing)
    assert (found.result, found.denies) == (Result.ERROR, True), found.reason
    assert found.reason


@pytest.mark.parametrize("gate", GATES)
def test_required_gate_that_is_skipped_denies(site: Site, gate: str) -> None:
    site.policy(require=[gate])
    application = site.prepare()
    found = site.verdict(gate, application)
    if gate in ("hold", "bytes"):  # which no rule has to ask for
        assert not found.denies
        return
    assert (found.result, found.denies) == (Result.SKIP, True)
    with pytest.raises(PromotionDenied, match=rf"{gate}.* is required and was skipped"):
        application.allowed()


# What the table does not say.


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
    ("licenses", "result"),
    [
        ([], "fail"),
        ([None], "fail"),
        (["apache-2.0", "cc-by-nc-4.0"], "fail"),
        (["apache-2.0", None], "fail"),
        (["APACHE-2.0"], "pass"),
    ],
)
def test_each_license_that_is_stated_has_to_be_allowed(
    site: Site, licenses: list[str | None], result: str
) -> None:
    site.policy(licenses=["apache-2.0", "mit"])
    for name in licenses:
        site.license(name)
    assert site.verdict("license").result == result


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


def test_approval_counts_once_for_each_key_and_never_for_ones_own(site: Site) -> None:
    site.policy(approvals={"count": 2, "of": ["alice", "bob"]})
    approved(site, "alice", "alice")
    approved(site, "alice", "somebody else")
    assert "1 of 2 have approved" in site.verdict("approvals").reason
    approved(site, "ci", "ci")
    assert site.verdict("approvals").result == "fail"
    approved(site, "bob", "bob")
    assert site.verdict("approvals").result == "pass"


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ({"by": "alice"}, "the name of a key"),
        ({"by": "carol"}, "the name in the approval"),
        ({"by": "dave", "signer": "alice"}, "the key itself"),
    ],
)
def test_whoever_promotes_does_not_approve(site: Site, person: dict[str, Any], why: str) -> None:
    """Not by name, nor by the name given in the approval, nor by the key that signs."""
    site.policy(approvals={"count": 1, "of": ["alice", "bob"]})
    plan = site.prepare(by="planner").plan
    said = "carol" if why == "the name in the approval" else "a person"
    approve.approve(site.environments, plan, "plan.json", site.keys["alice"], said, now())
    assert site.verdict("approvals", site.take(plan, by="dave")).result == "pass"
    given = {**person, **({"signer": site.keys["alice"]} if "signer" in person else {})}
    found = site.verdict("approvals", site.take(plan, **given))
    assert found.result == "fail", why
    assert "not counted, as the promotion is their own: alice" in found.reason


def test_who_made_the_plan_does_not_approve_it_for_others(site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice", "bob"]})
    plan = site.prepare(by="alice").plan
    approve.approve(site.environments, plan, "plan.json", site.keys["alice"], "a", now())
    assert site.verdict("approvals", site.take(plan, by="pipeline")).result == "fail"


def test_approval_of_another_plan_does_not_count(site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    approved(site)
    world = site.world
    world.pin("dev", world.revision("dev", 3).commit)
    assert site.verdict("approvals").result == "fail"
    world.pin("dev", world.revision("dev", 2).commit)
    assert site.verdict("approvals").result == "fail", "the record behind it is another one"


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
    assert "long until" in site.verdict("freeze").reason


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


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('x', file=sys.stderr); sys.exit(7)", "exit code 7: x"),
        ("import sys; sys.exit(7)", "exit code 7: it said nothing"),
        ("print('yes')", "it printed 'yes"),
        ('print(\'{"result": "maybe", "reason": ""}\')', "it printed"),
        (says("error"), "it is error"),
        ("import time; time.sleep(60)", "it took longer than 1 s"),
        (
            "import subprocess, sys; "
            "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
            "it took longer than 1 s",
        ),
    ],
)
def test_command_that_gives_no_verdict_is_an_error(site: Site, program: str, why: str) -> None:
    rule = script(program)
    rule["gates"]["scan"]["timeout"] = "1s"
    site.policy(**rule)
    found = site.verdict("scan")
    assert (found.result, why in found.reason) == (Result.ERROR, True), found.reason


def test_command_that_is_not_there_is_an_error(site: Site) -> None:
    site.policy(gates={"scan": {"command": ["./no-such-program"]}})
    assert "No such file" in site.verdict("scan").reason


def test_command_is_told_the_plan_and_stands_in_the_project(site: Site) -> None:
    program = (
        "import json, pathlib, sys; said = json.load(sys.stdin); "
        "assert pathlib.Path('values/policy.yaml').exists(); "
        "chat = said['plan']['models']['chat']; "
        "print(json.dumps({'result': 'pass', 'reason': "
        "' '.join([said['gate'], said['digest'], chat['commit']])}))"
    )
    site.policy(**script(program))
    application = site.prepare()
    found = site.verdict("scan", application)
    assert found.reason == f"scan {application.plan.digest} {site.commit()}"


def test_every_gate_is_asked_of_each_model(site: Site) -> None:
    site.policy()
    site.world.pin("dev", site.commit(), "draft")
    application: Application = site.prepare()
    asked = [(one.gate, one.model) for one in application.verdicts]
    assert asked == [
        *((gate, model) for model in ("chat", "draft") for gate in gates.OF_MODELS),
        *((gate, None) for gate in gates.OF_PLANS),
    ]
