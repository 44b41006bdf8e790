"""What a copy keeps of histories, and what it gets back of what its disk has lost or spoiled."""

from pathlib import Path

import pytest

from tests.unit.release.test_mirror import PIN, everything, sync, target
from tests.unit.release.world import REPO, World, manifest, revision
from waybill.cli.main import main
from waybill.errors import BadFile
from waybill.manifest import STATEMENT_TYPE, Manifest
from waybill.release.plan import PLAN_TYPE
from waybill.store import layout, mirror
from waybill.store.audit import audit, inventory
from waybill.store.mirror import Fate
from waybill.store.record import named
from waybill.store.store import Store

__all__ = ["target"]
REF = layout.ref(REPO, PIN)


@pytest.fixture
def source(model: World) -> Store:
    """Its pin has been moved by a plan, with evidence, and then on: the first steps are past."""
    store = model.store("dev")
    plan, said = store.write(b'{"plan":1}', PLAN_TYPE), store.write(b'{"said":1}', STATEMENT_TYPE)
    for number, told in ((3, {"plan": plan.digest, "evidence": [said.digest]}), (4, {})):
        made, held = revision(store, number), store.head(REPO, PIN)
        store.move(REPO, PIN, made.commit, expected=held, by="us", why="a test", **told)  # type: ignore[arg-type]
    return store


def behind(store: Store) -> list[Path]:
    """Where the plan, the evidence and all records but the newest lie."""
    _, *heads = store.chain(store.head(REPO, PIN))
    paths = [store.backend.local_path(layout.blob(one)) for each in heads for one in named(each)]
    assert len(paths) >= 5
    return [path for path in paths if path]


def prune_revision(store: Store, made: Manifest) -> None:
    path = store.backend.local_path(layout.revision(REPO, made.commit))
    assert path
    path.unlink()


def test_what_history_names_of_pruned_revisions_comes_along(source: Store, target: Store) -> None:
    prune_revision(source, manifest(3))
    sync(source, target)
    assert all(path.exists() for path in behind(target))


@pytest.mark.parametrize("fate", [Fate.STANDS, Fate.MOVES, Fate.AHEAD])
def test_what_the_target_lost_of_its_history_is_brought_again(
    source: Store, target: Store, fate: Fate
) -> None:
    sync(source, target)
    lost = behind(target)
    for store in {Fate.MOVES: [source], Fate.AHEAD: [target]}.get(fate, []):
        made = revision(store, 5).commit
        store.move(REPO, PIN, made, expected=store.head(REPO, PIN), by="us", why="on")
    good = everything(target)
    for path in lost[:-1]:
        path.unlink()
    lost[-1].write_bytes(b"{")
    target = Store(target.backend)
    assert [step.fate for step in mirror.plan(source, target).steps] == [fate]
    assert sync(source, target).wrong == {}
    now = everything(target)
    assert {key: now.get(key) for key in good if key != REF} == {
        key: data for key, data in good.items() if key != REF
    }


def test_what_the_source_lost_of_its_history_is_told_and_the_rest_arrives(
    source: Store, target: Store
) -> None:
    sync(source, target)
    made, head = revision(source, 5).commit, source.head(REPO, PIN)
    source.move(REPO, PIN, made, expected=head, by="us", why="on")
    behind(source)[-1].unlink()
    done = sync(Store(source.backend), target)
    assert (done.moved, list(done.wrong)) == (1, [f"{PIN} of {REPO}".lower()])


def test_blobs_of_another_size_are_replaced(source: Store, target: Store) -> None:
    sync(source, target)
    good = everything(target)
    for blob in manifest(2).blobs:
        path = target.backend.local_path(layout.blob(blob))
        assert path
        path.write_bytes(path.read_bytes()[:-1])
    target = Store(target.backend)
    assert sync(source, target).wrong == {}
    assert everything(target) == good


def test_what_makes_a_revision_is_mended_before_a_ref_moves_to_it(
    source: Store, target: Store
) -> None:
    """Of the right size, but with another byte: the manifest, its revision, and a statement."""
    sync(source, target)
    good, made = everything(target), manifest(2)
    keys = [
        layout.blob(made.descriptor.digest),
        layout.revision(REPO, made.commit),
        *(stat.key for stat in target.said(REPO, made.commit)),
    ]
    for key in keys:
        path = target.backend.local_path(key)
        assert path
        path.write_bytes(path.read_bytes().replace(b"a", b"e"))
    head = source.head(REPO, PIN)
    source.move(REPO, PIN, made.commit, expected=head, by="us", why="back")
    target = Store(target.backend)
    with pytest.raises(BadFile):
        target.manifest(REPO, made.commit)
    assert (sync(source, target).moved, len(keys)) == (1, 4)
    assert good.items() - everything(target).items() == {(REF, good[REF])}
    assert not audit(target, inventory(target)).wrong


def test_two_histories_that_stand_at_one_commit_need_nobody(source: Store, target: Store) -> None:
    for number in (1, 4):
        made = revision(target, number)
        target.move(REPO, PIN, made.commit, expected=target.head(REPO, PIN), by="them", why="too")
    kept = target.head(REPO, PIN)
    assert main(["sync", source.url, target.url]) == 0
    assert target.head(REPO, PIN) == kept


def test_a_plan_that_is_damaged_is_found_and_one_that_stayed_elsewhere_is_none(
    source: Store,
) -> None:
    plan = behind(source)[0]
    plan.write_bytes(b'{"plan":2}')
    (error,) = audit(Store(source.backend), inventory(source)).wrong.values()
    assert plan.name in str(error)
    plan.unlink()
    assert not audit(Store(source.backend), inventory(source)).wrong
