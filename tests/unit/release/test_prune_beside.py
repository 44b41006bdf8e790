"""Whatever a prune and a writer do at the same time, every ref leads to what is whole."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import MAIN
from tests.unit.bundle.bundles import write as write_files
from tests.unit.release.crash import Crash, Fuse, Fused
from tests.unit.release.interleave import Actor, Gate, age, gated, no_waiting
from tests.unit.release.world import REPO, World, content, new_world
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.bundle.sideload import Decision, Loading
from waybill.deliver import environments
from waybill.errors import BeingPruned, BlobMissing, RevisionNotFound, WaybillError
from waybill.manifest import STATEMENT_TYPE
from waybill.release import move, pin
from waybill.release.move import Reason
from waybill.source.directory import DirectorySource
from waybill.store import mirror, prune, sync
from waybill.store.audit import audit, inventory
from waybill.store.lease import held, last_prune
from waybill.store.prune import Retention
from waybill.store.publish import hold
from waybill.store.store import Store

RETENTION = Retention(keep=2)
Write = Callable[[World, Store], object]
"""A writer that makes a ref of dev's store stand at the first revision again, or speaks of it."""


def sweep(store: Store) -> prune.Plan:
    with held(store, "a test") as right:
        plan = prune.survey(store, RETENTION)
        prune.carry_out(plan, right)
    return plan


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """dev has pinned the bundle's revision and two more; the first is noted. test has it, too."""
    world = new_world(tmp_path_factory.mktemp("template") / "project")
    source = write_files(world.project / "source", content(1))
    Packing.plan(DirectorySource(source), REPO).run([world.project / "bundle"])
    sideload(world, world.store("test"))
    sync.copy_revision(world.store("test"), world.store("dev"), REPO, old(world))
    for commit in (old(world), *(world.revision("dev", number).commit for number in (2, 3))):
        world.pin("dev", commit)
    world.pin("test", old(world))
    age(world.project / "stores/dev")
    noted = sweep(world.store("dev"))
    assert [one.revision[1] for one in noted.noted if one.revision] == [old(world)]
    return world


def old(world: World) -> str:
    """The commit that a prune deletes."""
    bundle = Bundle.open([world.project / "bundle"])
    return bundle.index.revisions[0].manifest.commit


def copy(world: World, store: Store) -> None:
    commit = old(world)
    sync.copy_revision(world.store("test"), store, REPO, commit)
    store.move(REPO, MAIN, commit, expected=store.head(REPO, MAIN), by="a", why="b")


def mirrored(world: World, store: Store) -> None:
    assert mirror.carry_out(mirror.plan(world.store("test"), store)).wrong == {}


def sideload(world: World, store: Store) -> None:
    bundle = Bundle.open([world.project / "bundle"])
    Loading.plan(BundleCargo(bundle), store, Decision((MAIN,), "a", "b")).run()


def pinned(world: World, store: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "connect", lambda *_, **__: store)
        step = pin.plan(world["dev"], "chat", REPO, old(world))
    move.carry_out([step], Reason("a", "b"))


def told(world: World, store: Store) -> None:
    hold(store, REPO, old(world), ((b"a statement", STATEMENT_TYPE),))


WRITERS: list[Write] = [copy, mirrored, sideload, pinned, told]
HOLDERS = (pinned, told)
"""They have nothing to send again."""
writers = pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)


def copies(template: World, folder: Path) -> Iterator[tuple[int, World]]:
    for at in count():
        world = World(folder / f"{at}")
        shutil.copytree(template.project, world.project)
        yield at, world
        shutil.rmtree(world.project)


def assert_sound(world: World) -> None:
    store = world.store("dev")
    assert audit(store, inventory(store)).wrong == {}


def assert_written(world: World, write: Write, error: WaybillError | None) -> None:
    """The writer did its work, or said why not; and what it did outlives the next prune."""
    assert_sound(world)
    if error:
        assert write in HOLDERS and isinstance(error, (BlobMissing, RevisionNotFound))
    elif write is told:
        assert len(world.store("dev").referrers(REPO, old(world))) > 1
    else:
        assert old(world) in {head.commit for head in world.store("dev").refs().values()}
    sweep(world.store("dev"))
    assert_sound(world)


@writers
def test_a_writer_while_a_prune_stands_still_anywhere(
    template: World, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, world in copies(template, tmp_path):
        store, gate = world.store("dev"), Gate(at)
        sweeper = Actor(lambda: sweep(gated(store, gate)), gate)  # noqa: B023
        no_waiting(monkeypatch, gate.open)
        sweeper.start()
        stopped, error = sweeper.stopped(), None
        try:
            write(world, store)
        except WaybillError as raised:
            error = raised
        assert sweeper.finish() is None
        assert_written(world, write, error)
        if not stopped:
            break
    assert at > 30


@writers
def test_a_prune_while_a_writer_stands_still_anywhere(
    template: World, tmp_path: Path, write: Write
) -> None:
    for at, world in copies(template, tmp_path):
        store, gate = world.store("dev"), Gate(at)
        writer = Actor(lambda: write(world, gated(store, gate)), gate)  # noqa: B023
        writer.start()
        stopped = writer.stopped()
        sweep(store)
        assert_written(world, write, writer.finish())
        if not stopped:
            break
    assert at > 10


def test_two_prunes_at_once_and_one_of_them_killed(template: World, tmp_path: Path) -> None:
    """The second is refused while the first has the lease, and takes it over once it lapsed."""
    for at, world in copies(template, tmp_path):
        store, fuse = world.store("dev"), Fuse(at)
        with suppress(Crash):
            sweep(Store(Fused(store.backend, fuse)))
        assert_sound(world)
        if not fuse.blown:
            break
        if last_prune(store) is None:
            with pytest.raises(BeingPruned, match="is being pruned by a test"):
                sweep(store)
            age(world.project / "stores/dev/leases")
        for _ in range(2):
            sweep(store)
        assert_sound(world)
        assert old(world) not in store.revisions(REPO)
    assert at > 10
