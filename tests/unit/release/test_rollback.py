"""rollback: an earlier commit of the history, nothing sent, a new record."""

import pytest

from tests.unit.release.world import REPO, World
from waybill.errors import (
    AlreadyBack,
    BadValue,
    BlobMissing,
    NotACommit,
    NothingToRollBack,
    PinsDiffer,
    RefMoved,
    UnknownModel,
)
from waybill.release import move, rollback
from waybill.release.move import Reason
from waybill.store import layout
from waybill.store.layout import Ref


@pytest.fixture
def commits(world: World) -> list[str]:
    """Three revisions, pinned in dev one after the other."""
    found = [world.revision("dev", number).commit for number in (1, 2, 3)]
    for commit in found:
        world.pin("dev", commit)
    return found


def test_back_to_the_one_before(world: World, commits: list[str]) -> None:
    world.rollback("dev")
    assert world.stable("dev") == world.ref("dev") == commits[1]
    held = world.pins("dev").models["chat"]
    assert held.previous
    assert held.previous.commit == commits[2]


def test_rollback_is_a_new_record_with_its_reason(world: World, commits: list[str]) -> None:
    world.rollback("dev")
    records = world.records("dev")
    assert [record.commit for record in records] == [commits[1], *reversed(commits)]
    assert (records[0].by, records[0].why) == ("a test", "it was worse")


def test_rollback_twice_goes_forth_again(world: World, commits: list[str]) -> None:
    world.rollback("dev")
    world.rollback("dev")
    assert world.stable("dev") == commits[2]


def test_with_a_hold_it_does_not_go_forth_again(world: World, commits: list[str]) -> None:
    """Whoever says it twice, for the cluster was busy, does not want the bad one back."""
    step = rollback.plan(world["dev"], "chat")
    move.carry_out([step], reason=Reason("ops", "slow", hold=True))
    with pytest.raises(AlreadyBack) as caught:
        rollback.plan(world["dev"], "chat")
    _, back, bad = commits
    assert str(caught.value) == f"chat in dev has gone back to {back} from {bad}, and is on hold"
    world.rollback("dev", bad)
    assert world.stable("dev") == bad


def test_a_hold_that_stayed_keeps_no_newer_one(world: World, commits: list[str]) -> None:
    """Pins pass holds by; the record that they leave has it still."""
    step = rollback.plan(world["dev"], "chat", commits[0])
    move.carry_out([step], reason=Reason("ops", "slow", hold=True))
    world.pin("dev", world.revision("dev", 4).commit)
    assert world.records("dev")[0].hold
    world.rollback("dev")
    assert world.stable("dev") == commits[0]


def test_back_to_a_named_commit(world: World, commits: list[str]) -> None:
    world.rollback("dev", commits[0])
    assert world.stable("dev") == world.ref("dev") == commits[0]
    world.rollback("dev", commits[0])
    assert len(world.records("dev")) == 4


def test_nothing_is_written_but_ref_record_and_file(world: World, commits: list[str]) -> None:
    before = {path for path in world.project.rglob("*") if path.is_file()}
    world.rollback("dev", commits[0])
    new = {path for path in world.project.rglob("*") if path.is_file()} - before
    assert len(new) == 1
    assert next(iter(new)).read_bytes() == world.records("dev")[0].data


def test_pin_of_an_old_revision_gets_back_its_old_text(world: World, commits: list[str]) -> None:
    text = world["dev"].pins_path.read_text()
    world.rollback("dev")
    world.rollback("dev", commits[2])
    assert world["dev"].pins_path.read_text() == text


def test_first_pin_has_nothing_before_it(world: World) -> None:
    world.pin("dev", world.revision("dev", 1).commit)
    with pytest.raises(NothingToRollBack) as caught:
        world.rollback("dev")
    assert str(caught.value) == "chat in dev has no earlier commit to go back to"
    assert caught.value.advice == "waybill history chat --env dev lists what there is"


def test_model_that_is_not_pinned_is_told(world: World) -> None:
    with pytest.raises(UnknownModel, match="no model 'chat' is pinned in dev"):
        world.rollback("dev")


def test_commit_outside_the_history_is_refused(world: World, commits: list[str]) -> None:
    never = world.revision("dev", 4).commit
    with pytest.raises(BadValue) as caught:
        world.rollback("dev", never)
    assert str(caught.value) == (
        f"--to {never!r} is not usable: waybill history chat --env dev has no such commit"
    )
    assert world.stable("dev") == commits[2]


def test_short_commit_is_refused_with_the_whole_one(world: World, commits: list[str]) -> None:
    with pytest.raises(NotACommit) as caught:
        world.rollback("dev", commits[0][:9])
    assert commits[0] in caught.value.advice


def test_blob_that_is_gone_is_told_before_the_ref_moves(world: World, commits: list[str]) -> None:
    store = world.store("dev")
    file = store.manifest(REPO, commits[1]).by_path["model.safetensors"]
    path = store.backend.local_path(layout.blob(file.digest))
    assert path
    path.unlink()
    with pytest.raises(BlobMissing, match=f"which Acme/Chat@{commits[1]} needs"):
        world.rollback("dev")
    assert world.ref("dev") == world.stable("dev") == commits[2]


def test_ref_that_moved_since_is_not_overwritten(world: World, commits: list[str]) -> None:
    late = rollback.plan(world["dev"], "chat")
    world.pin("dev", commits[0])
    with pytest.raises(RefMoved):
        move.carry_out([late], Reason("late", "too late"))
    assert world.stable("dev") == world.ref("dev") == commits[0]


def test_file_of_another_time_is_refused(world: World, commits: list[str]) -> None:
    store, ref = world.store("dev"), Ref.pin("dev", "chat")
    four = world.revision("dev", 4).commit
    store.move(REPO, ref, four, expected=store.head(REPO, ref), by="another", why="newer")
    with pytest.raises(PinsDiffer, match=f"pins chat at {commits[2]}, but .* stands at {four}"):
        world.rollback("dev")


def test_named_commit_is_the_way_out_when_file_and_ref_differ(
    world: World, commits: list[str]
) -> None:
    store, ref = world.store("dev"), Ref.pin("dev", "chat")
    four = world.revision("dev", 4).commit
    store.move(REPO, ref, four, expected=store.head(REPO, ref), by="another", why="newer")
    world.rollback("dev", commits[1])
    assert world.stable("dev") == world.ref("dev") == commits[1]


def test_lost_ref_is_told(world: World, commits: list[str]) -> None:
    path = world.store("dev").backend.local_path(layout.ref(REPO, Ref.pin("dev", "chat")))
    assert path
    path.unlink()
    with pytest.raises(PinsDiffer, match=f"at {commits[2]}, but the store's ref stands at nothing"):
        world.rollback("dev")
