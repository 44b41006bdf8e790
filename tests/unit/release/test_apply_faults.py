"""Whatever stops a plan, it goes on; of several at once one wins, and nothing mixes."""

import shutil
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.unit.release.crash import Crash, Fuse, install
from tests.unit.release.site import Site
from tests.unit.release.test_apply import embed, saved, source_moves
from tests.unit.release.test_race import at_once, checkout
from tests.unit.release.world import OTHER, REPO
from waybill.cli.main import main
from waybill.deliver import pins
from waybill.errors import Frozen, PlanOutdated, PromotionDenied, RefMoved
from waybill.release import apply, promote
from waybill.release.plan import Plan
from waybill.sign.trust import now
from waybill.store.audit import audit, inventory
from waybill.store.layout import Ref
from waybill.store.store import Store


def crashes(site: Site, folder: Path, plan: Plan) -> Any:
    """A fresh copy for each change, after a crash right before that change."""
    for whole in count():
        each = Site(folder / f"{whole}", site.keys)
        shutil.copytree(site.project, each.project)
        fuse = Fuse(whole)
        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            install(fuse, patch)
            apply.carry_out(each.take(plan))
        if not fuse.blown:
            assert whole > 20
            return
        yield each
        shutil.rmtree(each.project)


def test_crash_between_any_two_steps(site: Site, tmp_path: Path) -> None:
    """What was pinned works, and the same plan goes on."""
    site.policy(approvals={"count": 1, "of": ["alice"]})
    embed(site)
    plan = saved(site)
    site.approve(plan)
    old = site.world.pins("test")
    states = set()
    for each in crashes(site, tmp_path / "crashes", plan):
        store = each.world.store("test")
        assert audit(store, inventory(store)).wrong == {}
        held = each.world.pins("test")
        assert held == old or held.models.keys() == old.models.keys()
        moved = tuple(
            each.world.ref("test", model, repo) == each.world.stable("dev", model)
            for model, repo in (("chat", REPO), ("embed", OTHER))
        )
        states.add((moved, held == old))
        apply.carry_out(each.take(plan))
        for model, repo in (("chat", REPO), ("embed", OTHER)):
            world = each.world
            assert world.stable("test", model) == world.stable("dev", model)
            assert len(world.records("test", model, repo)) == 2
            assert world.records("test", model, repo)[0].plan == plan.digest
    # Before, between the two refs, before and after the file.
    assert {moved for moved, _ in states} == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize("step", [(Store, "move"), (pins, "update")])
def test_what_was_begun_is_finished_in_a_freeze(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    """After a crash between the two refs, and between refs and pins."""
    window = {"cron": "0 0 1 1 *", "duration": "1d", "timeZone": "UTC"}
    site.policy(freeze={"silvester": window})
    embed(site)
    plan, frozen = saved(site), now().replace(month=1, day=1, hour=5)
    whole, done = getattr(*step), count(1)

    def crash(*given: Any, **more: Any) -> Any:
        if step[0] is pins or next(done) > 1:
            raise Crash
        return whole(*given, **more)

    with monkeypatch.context() as patch, suppress(Crash):
        patch.setattr(*step, crash)
        apply.carry_out(site.take(plan, at=now().replace(month=6)))
    assert site.world.ref("test") != site.world.stable("test")
    apply.carry_out(site.take(plan, at=frozen))
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        stable = site.world.stable("dev", model)
        assert site.world.ref("test", model, repo) == site.world.stable("test", model) == stable
    source_moves(site)
    with pytest.raises(Frozen):
        site.prepare(frozen).allowed()


def stopped_between(site: Site, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the first of its refs has moved."""
    whole, done = Store.move, count(1)

    def crash(*given: Any, **more: Any) -> Any:
        if next(done) > 1:
            raise Crash
        return whole(*given, **more)

    with monkeypatch.context() as patch, suppress(Crash):
        patch.setattr(Store, "move", crash)
        apply.carry_out(site.take(plan))


def approved_and_begun(site: Site, monkeypatch: pytest.MonkeyPatch) -> Plan:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    embed(site)
    plan = saved(site)
    site.approve(plan)
    stopped_between(site, plan, monkeypatch)
    return plan


def test_promote_goes_on_with_the_plan_that_was_begun(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its approvals are of that one; whoever wants more than it makes another."""
    plan = approved_and_begun(site, monkeypatch)
    assert site.prepare(None, "chat").plan.digest != plan.digest
    again = site.prepare(by="dave")
    assert (again.plan.digest, again.begun, again.plan.by) == (plan.digest, True, "carol")
    apply.carry_out(again)
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        assert site.world.stable("test", model) == site.world.stable("dev", model)
        assert site.world.records("test", model, repo)[0].plan == plan.digest
    assert site.prepare().plan.digest != plan.digest


def test_promote_goes_on_with_nothing_that_was_decided_otherwise(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = approved_and_begun(site, monkeypatch)
    site.world.pin("test", site.world.revision("test", 9, OTHER).commit, "embed", OTHER)
    assert site.prepare().plan.digest != plan.digest
    with pytest.raises(PromotionDenied):
        site.prepare().allowed()


def test_two_who_carry_out_the_same_plan_do_not_take_it_back(site: Site) -> None:
    site.policy()
    embed(site)
    promote.copy(site.prepare().promotion)
    plan = saved(site)
    one, other = site.take(plan), site.take(plan)
    apply.carry_out(one)
    apply.carry_out(other)
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        stable = site.world.stable("dev", model)
        assert site.world.ref("test", model, repo) == site.world.stable("test", model) == stable
        assert len(site.world.records("test", model, repo)) == 2


def test_what_was_begun_is_finished_whatever_was_edited_since(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And though the source has a newer record of the revision that has moved."""
    site.policy()
    embed(site)
    plan = saved(site)
    stopped_between(site, plan, monkeypatch)
    site.policy(licenses=["MIT"])
    store, ref = site.world.store("dev"), Ref.pin("dev", "chat")
    head = store.head(REPO, ref)
    store.move(REPO, ref, site.commit(), expected=head, by="ops", why="", hold=True)
    site.license("apache-2.0")
    apply.carry_out(site.take(plan))
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        stable = site.world.stable("dev", model)
        assert site.world.ref("test", model, repo) == site.world.stable("test", model) == stable


def test_of_two_promotions_one_wins_and_nothing_mixes(site: Site) -> None:
    """Both of two models; each of several clones planned on its own, and the bytes are there."""
    embed(site)
    clones = [Site(checkout(site.world, f"clone-{at}").project, site.keys) for at in range(4)]
    for clone in clones:
        shutil.copytree(site.project / "values/trust", clone.project / "values/trust")
    promote.copy(site.prepare().promotion)
    plans = [clone.prepare(by=f"clone {at}") for at, clone in enumerate(clones)]
    raised = at_once([partial(apply.carry_out, plan) for plan in plans])
    assert sum(error is None for error in raised) == 1
    assert all(isinstance(error, RefMoved) for error in raised if error)
    winner = raised.index(None)
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        assert site.world.records("test", model, repo)[0].plan == plans[winner].plan.digest
        for at, clone in enumerate(clones):
            moved = clone.world.stable("test", model) == clone.world.stable("dev", model)
            assert moved is (at == winner)


def test_plan_that_loses_one_model_takes_the_others_back(site: Site) -> None:
    site.policy()
    embed(site)
    promote.copy(site.prepare().promotion)
    late = site.take(saved(site))
    before = site.world.stable("test")
    six = site.world.revision("test", 9, OTHER).commit
    site.world.pin("test", six, "embed", OTHER)
    with pytest.raises(RefMoved, match=r"pins/test.embed.stable"):
        apply.carry_out(late)
    assert site.world.stable("test") == site.world.ref("test") == before
    assert site.world.stable("test", "embed") == six
    assert site.world.records("test")[0].why.startswith("taken back: ")


def test_who_lost_is_not_shown_as_who_promoted(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """They say so before the refs move."""
    site.policy()
    embed(site)
    promote.copy(site.prepare().promotion)
    late = site.take(saved(site), signer=site.keys["ci"])
    site.world.pin("test", site.world.revision("test", 9, OTHER).commit, "embed", OTHER)
    with pytest.raises(RefMoved):
        apply.carry_out(late)

    def shown() -> list[bool]:
        assert main(["evidence", "embed", "--env", "dev", "--project", str(site.project)]) == 0
        lines = capsys.readouterr().out.splitlines()
        said = [line for line in lines if line.startswith("promotion ")]
        return sorted("no step names it" in line for line in said)

    assert shown() == [True]
    apply.carry_out(site.prepare(signer=site.keys["ci"]))
    assert shown() == [False, True]


def test_first_promotion_has_nothing_before_it(site: Site) -> None:
    """And what moves while its bytes are sent stops it before any pin."""
    site.policy()
    commit = site.commit()
    site.world.pin("dev", commit, "draft")
    plan = saved(site)
    assert plan.models["draft"]["previous"] is None
    assert plan.models["draft"]["records"]["to"] is None
    late = site.take(plan)
    site.world.pin("test", site.world.revision("test", 9).commit)
    with pytest.raises(PlanOutdated, match="chat in test is at"):
        apply.carry_out(late)
    assert site.world.stable("test", "draft") is None
    apply.carry_out(site.take(saved(site)))
    assert site.world.stable("test", "draft") == site.world.stable("test") == commit


def test_first_pin_is_not_made_by_a_plan_that_lost_another_model(site: Site) -> None:
    site.policy()
    world = site.world
    world.pin("dev", world.revision("dev", 5, OTHER).commit, "a", OTHER)
    promote.copy(site.prepare().promotion)
    late = site.take(saved(site))
    seven = world.revision("test", 7).commit
    world.pin("test", seven)
    with pytest.raises(RefMoved, match=r"pins/test.chat.stable"):
        apply.carry_out(late)
    assert (world.stable("test", "a"), world.ref("test", "a", OTHER)) == (None, None)
    assert world.stable("test") == seven


def test_of_two_first_pins_the_one_that_nobody_else_made_stays(site: Site) -> None:
    """A store takes no ref away; the model that was lost is whose it is."""
    site.policy()
    world = site.world
    five = world.revision("dev", 5, OTHER).commit
    for model in ("a", "b"):
        world.pin("dev", five, model, OTHER)
    promote.copy(site.prepare().promotion)
    late, before = site.take(saved(site)), world.stable("test")
    seven = world.revision("test", 7, OTHER).commit
    world.pin("test", seven, "b", OTHER)
    with pytest.raises(RefMoved, match=r"pins/test.b.stable"):
        apply.carry_out(late)
    assert world.stable("test", "a") == world.ref("test", "a", OTHER) == five
    assert world.stable("test", "b") == seven
    assert world.stable("test") == world.ref("test") == before
