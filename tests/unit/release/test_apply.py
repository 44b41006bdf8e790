"""apply does exactly what the plan says, or refuses; whatever stops it, it goes on."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.release.site import HOUR, Site
from tests.unit.release.world import OTHER, REPO
from tests.unit.sign.making import Authority, certified
from waybill import digest as digests
from waybill.errors import BadFile, Frozen, PlanOutdated, PromotionDenied
from waybill.release import apply, hold, move, promote, rollback
from waybill.release.apply import Person
from waybill.release.plan import PLAN_TYPE, Plan
from waybill.sign.dsse import ENVELOPE_TYPE, Envelope
from waybill.sign.predicates import PROMOTION, Approval
from waybill.sign.predicates import Promotion as Promoted
from waybill.sign.statements import Statement
from waybill.sign.trust import now
from waybill.store import evidence

ALWAYS = {"always": {"cron": "* * * * *", "duration": "1d", "timeZone": "UTC"}}


def embed(site: Site, number: int = 5) -> None:
    """A second model, in both environments, and ahead in dev."""
    world = site.world
    world.pin("test", world.revision("test", number + 1, OTHER).commit, "embed", OTHER)
    world.pin("dev", world.revision("dev", number, OTHER).commit, "embed", OTHER)


def tree(folder: Path) -> dict[str, str]:
    """Every file's digest and mode."""
    return {
        str(path.relative_to(folder)): (
            f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def saved(site: Site, plan: Plan | None = None) -> Plan:
    """As it comes back from the file."""
    path = site.project.parent / "plan.json"
    (plan or site.prepare().plan).write(path)
    # An outlook belongs to a plan that people see.
    value = json.loads(path.read_text())
    value["outlook"] = OUTLOOK
    path.write_text(json.dumps(value))
    return Plan.load(path)


OUTLOOK: dict[str, Any] = {
    "at": "2026-01-01T00:00:00Z",
    "changes": True,
    "before": {},
    "bytes": 0,
    "missing": {},
    "rate": 1,
    "seconds": 0,
    "rendered": {"skipped": "not asked", "changes": []},
    "gates": [],
}


def test_plan_is_applied_and_named_by_records_and_store(site: Site) -> None:
    site.policy()
    embed(site)
    plan = saved(site)
    copied = apply.carry_out(site.take(plan, why="better")).copied
    world = site.world
    assert [one.blobs for one in copied] == [2, 2]
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        assert world.stable("test", model) == world.ref("test", model, repo)
        assert world.stable("test", model) == world.stable("dev", model)
        record = world.records("test", model, repo)[0]
        assert (record.plan, record.by, record.why) == (plan.digest, "carol", "better")
        kept = world.store("test").referrers(repo, record.commit)
        assert [one.digest for one in kept if one.media_type == PLAN_TYPE] == [plan.digest]
    assert world.store("test").read(plan.digest) == plan.data


def test_same_state_gives_the_same_plan(site: Site) -> None:
    assert site.prepare().plan.data == site.prepare().plan.data
    site.world.store("test")
    assert site.prepare(by="another").plan.digest != site.prepare().plan.digest


def test_plan_applied_twice_says_so_and_adds_nothing(site: Site) -> None:
    plan = saved(site)
    apply.carry_out(site.take(plan))
    before = tree(site.project)
    again = site.take(plan)
    assert not again.changes
    apply.carry_out(again)
    assert tree(site.project) == before


def test_preparing_and_judging_changes_nothing(site: Site) -> None:
    site.policy(bytes="deep", soak="1s")
    embed(site)
    before = tree(site.project)
    plan = site.prepare()
    assert plan.verdicts
    assert site.take(plan.plan).verdicts
    assert tree(site.project) == before


def policy_changes(site: Site) -> None:
    site.policy(soak="1s")


def trust_changes(site: Site) -> None:
    site.trust("release")


def values_change(site: Site) -> None:
    (site.project / "values/test.yaml").write_text("global: {}\n")


def source_moves(site: Site) -> None:
    site.world.pin("dev", site.world.revision("dev", 4).commit)


def source_moves_and_back(site: Site) -> None:
    commit = site.commit()
    source_moves(site)
    site.world.pin("dev", commit)


def target_moves(site: Site) -> None:
    site.world.pin("test", site.world.revision("test", 4).commit)


def target_moves_and_back(site: Site) -> None:
    commit = str(site.world.stable("test"))
    target_moves(site)
    site.world.pin("test", commit)


def target_is_held(site: Site) -> None:
    site.policy()
    world = site.world
    world.pin("test", world.revision("test", 4).commit)
    step = rollback.plan(world["test"], "chat")
    move.carry_out([step], reason=move.Reason("dora", "", hold=True))


def another_store(site: Site) -> None:
    moved = site.project / "stores/test/store.json"
    moved.write_text(moved.read_text().replace(site.world.store("test").facts["id"], "another"))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (policy_changes, r"values/policy.yaml changed"),
        (trust_changes, r"the target's trust policy changed"),
        (values_change, r"the target's values file changed"),
        (source_moves, r"dev pins chat at [0-9a-f]{40} by now"),
        (source_moves_and_back, r"dev pins chat at [0-9a-f]{40} by now"),
        (target_moves, r"chat in test is at [0-9a-f]{40} by now"),
        (target_moves_and_back, r"or was moved and moved back"),
        (target_is_held, r"changed|moved"),
        (another_store, r"the store of an environment changed"),
    ],
)
def test_plan_that_does_not_fit_any_more_is_refused(
    site: Site, change: Callable[[Site], None], what: str
) -> None:
    plan = saved(site)
    change(site)
    before = tree(site.project)
    with pytest.raises(PlanOutdated, match=what) as caught:
        site.take(plan)
    assert caught.value.exit_code == 7
    assert tree(site.project) == before


def test_what_concerns_others_does_not_make_it_outdated(site: Site) -> None:
    plan = saved(site)
    embed(site)
    apply.carry_out(site.take(plan))
    assert site.world.stable("test") == site.commit()


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda value: value["plan"].update(by="mallory"), "its plan has another digest"),
        (lambda value: value["plan"]["models"]["chat"].update(commit="0" * 40), "another digest"),
        (lambda value: value.update(schemaVersion=2), "schemaVersion"),
        (lambda value: value["plan"].pop("policy"), "'policy' is a required property"),
        (lambda value: value.update(more=1), "more"),
    ],
)
def test_plan_that_was_edited_is_refused(site: Site, edit: Callable[[Any], None], why: str) -> None:
    saved(site)
    path = site.project.parent / "plan.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))
    with pytest.raises(BadFile, match=why):
        Plan.load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repo", "Acme/Other"),
        ("size", 1),
        ("licenses", ["Apache-2.0"]),
        ("signers", ["release"]),
        ("values", {"engineArgs": {"max-model-len": 1}}),
    ],
)
def test_plan_that_says_what_is_not_so_is_refused(site: Site, key: str, value: Any) -> None:
    """Also when its digest is that of what it says, by whoever carries it out or agrees to it."""
    told = json.loads(json.dumps(site.prepare().plan.agreed))
    told["models"]["chat"][key] = value
    plan = saved(site, Plan(told))
    before = tree(site.project)
    with pytest.raises(PlanOutdated, match=rf"{key} of chat: the plan says .*, and it is "):
        site.take(plan)
    with pytest.raises(PlanOutdated, match=f"{key} of chat"):
        site.approve(plan)
    assert tree(site.project) == before


def test_whom_nobody_knows_is_no_signer_in_the_plan(site: Site) -> None:
    site.sign("release")
    assert site.prepare().plan.models["chat"]["signers"] == ["release"]
    stranger = certified(Authority(), "release")
    store = site.world.store("dev")
    evidence.sign_provenance(store, REPO, store.manifest(REPO, site.commit()), stranger, "a test")
    assert site.prepare().plan.models["chat"]["signers"] == [
        "CN=release (not known)",
        "release",
    ]


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "[" * 100_000])
def test_what_is_no_plan_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(BadFile, match=r"plan.json cannot be used: "):
        Plan.load(tmp_path / "plan.json")


def test_denied_plan_writes_nothing(site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    before = tree(site.project)
    with pytest.raises(PromotionDenied, match=r"approvals \(values/policy.yaml:\d+\): 0 of 1"):
        apply.carry_out(site.prepare())
    assert tree(site.project) == before


def test_approvals_open_the_gate_and_stand_in_the_record(site: Site) -> None:
    site.policy(approvals={"count": 2, "of": ["alice", "bob"]})
    plan = saved(site)
    kept = [site.approve(plan, name) for name in ("alice", "bob")]
    tested = site.say(site.tested(), "ci")
    apply.carry_out(site.take(plan))
    record = site.world.records("test")[0]
    assert set(record.evidence) == {*kept, tested}
    for digest in record.evidence:
        assert site.world.store("test").read(digests.parse(digest))


def test_record_names_nothing_that_did_not_speak_for_it(site: Site) -> None:
    """No bad test, none that a newer one replaced, nothing of other places, plans and people."""
    site.policy(approvals={"count": 1, "of": ["alice"]})
    plan = saved(site)
    site.say(Approval(digests.of(b"other"), "dev", "test", now(), "alice"), "alice")
    site.say(Approval(plan.digest, "dev", "test", now(), "eve"), None)
    site.say(Approval(plan.digest, "dev", "test", now(), "bob"), "bob")
    site.say(Promoted(plan.digest, "a", "dev", now(), "x", "chat", ""), "ci")
    site.say(site.tested(at=now() - HOUR), "ci")
    site.say(site.tested("FAILED", name="other"), "ci")
    site.say(site.tested(name="third"), None)
    site.say(replace(site.watched(now(), now()), environment="prod"), "watch")
    good = {
        site.approve(plan),
        site.say(site.tested(), "ci"),
        site.say(site.watched(now() - HOUR, now()), "watch"),
    }
    apply.carry_out(site.take(plan))
    assert set(site.world.records("test")[0].evidence) == good


def test_key_of_whoever_applies_signs_that_it_was_done(site: Site) -> None:
    apply.carry_out(site.take(saved(site), signer=site.keys["ci"], why="better"))
    world = site.world
    store, record = world.store("test"), world.records("test")[0]
    envelopes = [
        Envelope.parse(store.read(one.digest), "it")
        for one in store.referrers(REPO, record.commit)
        if one.media_type == ENVELOPE_TYPE
    ]
    (said,) = [Statement.parse(one.payload, "it") for one in envelopes]
    assert said.predicate_type == PROMOTION
    assert said.predicate["plan"] == record.plan
    assert (said.predicate["by"], said.predicate["why"]) == ("carol", "better")
    assert len(record.evidence) == 1


def test_freeze_that_begins_while_bytes_are_sent_stops_the_pins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = {"cron": "0 0 1 1 *", "duration": "1d", "timeZone": "UTC"}
    site.policy(freeze={"silvester": window})
    at = now().replace(month=12, day=31, hour=23)
    monkeypatch.setattr(apply, "now", lambda: at.replace(year=at.year + 1, month=1, day=1))
    with pytest.raises(Frozen, match="silvester"):
        apply.carry_out(site.prepare(at))
    world = site.world
    assert world.stable("test") == world.ref("test") != site.commit()
    assert site.commit() in world.store("test").revisions(REPO)


def test_freeze_that_begins_while_a_person_thinks_stops_the_pins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no byte is sent in between."""
    promote.copy(site.prepare().promotion)
    site.policy(freeze={"silvester": {"cron": "0 0 1 1 *", "duration": "1d", "timeZone": "UTC"}})
    asked = now().replace(month=12, day=31, hour=23)
    application = site.prepare(asked).allowed()
    assert application.case.sent
    monkeypatch.setattr(apply, "now", lambda: asked + 2 * HOUR)
    before = tree(site.project)
    with pytest.raises(Frozen, match="silvester"):
        apply.carry_out(application)
    assert tree(site.project) == before


def test_reason_for_overriding_a_freeze_is_kept(site: Site) -> None:
    site.policy(freeze=ALWAYS)
    with pytest.raises(Frozen):
        apply.carry_out(site.prepare())
    apply.carry_out(site.prepare(why="a leak", override="cannot wait"))
    assert site.world.records("test")[0].why == "a leak; freeze overridden: cannot wait"


def test_rollback_holds_until_it_is_released(site: Site) -> None:
    site.policy()
    apply.carry_out(site.prepare())
    step = rollback.plan(site.world["test"], "chat")
    reason = move.Reason("dora", "slow", hold=hold.puts_hold(site.environments))
    move.carry_out([step], reason=reason)
    with pytest.raises(PromotionDenied, match="held by dora"):
        apply.carry_out(site.prepare())
    hold.release(site.world["test"], "chat", by="eve", why="mended")
    apply.carry_out(site.prepare())
    assert [one.hold for one in site.world.records("test")] == [False, False, True, False, False]
    site.world.rollback("test")
    assert site.world.stable("test") == site.world.records("test")[-1].commit


def test_pin_by_hand_leaves_a_hold(site: Site) -> None:
    target_is_held(site)
    site.world.pin("test", site.world.revision("test", 8).commit)
    assert site.world.records("test")[0].hold


def test_person_is_said_by_name_alone_where_there_is_no_reason() -> None:
    assert Person("a").reason == ""
    assert Person("a", "b").reason == "b"
    assert Person("a", override="c").reason == "freeze overridden: c"


@pytest.mark.parametrize("change", [policy_changes, source_moves, target_moves])
def test_what_changes_while_bytes_are_sent_stops_the_pins(
    site: Site, change: Callable[[Site], None]
) -> None:
    application = site.take(saved(site))
    told: list[int] = []

    def advance(count: int) -> None:
        if count and not any(told):
            change(site)
        told.append(count)

    with pytest.raises(PlanOutdated, match="does not fit any more"):
        apply.carry_out(application, advance)
    assert sum(told) == 3013
    assert site.world.records("test")[0].plan is None
