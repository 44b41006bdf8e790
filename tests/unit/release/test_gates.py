"""Every gate passes, fails, is skipped and finds nothing out, each with a reason and its rule."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.release.site import HOUR, Site
from tests.unit.release.world import REPO
from waybill.errors import PromotionDenied
from waybill.release import gates, hold, move, rollback
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
    site.approve(site.prepare().plan, key, by)


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
        ("Apache-2.0", "CC-BY-NC-4.0 is not allowed"),
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
        ("in no window", "by always, with no end in sight"),
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
        application = replace(application, case=replace(application.case, sent=True))
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
