"""Whatever step a machine dies at, what was pinned before works, and the same command completes."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.unit.release.crash import Crash, Fuse, install
from tests.unit.release.world import NAMES, OTHER, World, manifest, new_world
from waybill.deliver.pins import Pins
from waybill.store.audit import audit, inventory

Act = Callable[[World], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """dev runs the third revision and test the first; a second model is new in dev."""
    world = new_world(tmp_path_factory.mktemp("template") / "project")
    for number in (1, 2, 3, 4):
        world.revision("dev", number)
    world.pin("dev", commit(1))
    world.promote("dev", "test")
    world.pin("dev", commit(2))
    world.pin("dev", commit(3))
    world.pin("dev", world.revision("dev", 3, OTHER).commit, "embed", OTHER)
    return world


def commit(number: int) -> str:
    return manifest(number).commit


def promote(world: World) -> None:
    world.promote("dev", "test")


def pin_first_time(world: World) -> None:
    world.pin("dev", commit(4), "draft")


def pin_next(world: World) -> None:
    world.pin("dev", commit(4))


def rollback_to_first(world: World) -> None:
    world.rollback("dev", commit(1))


def rollback(world: World) -> None:
    world.rollback("dev")


def crashes(template: World, folder: Path, act: Act) -> Iterator[World]:
    """A fresh copy of the world for each change, after a crash right before that change."""
    for whole in count():
        world = World(folder / f"{whole}")
        shutil.copytree(template.project, world.project)
        fuse = Fuse(whole)
        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            install(fuse, patch)
            act(world)
        if not fuse.blown:
            assert whole > 3
            return
        yield world
        shutil.rmtree(world.project)


def assert_works(world: World) -> None:
    """Every visible revision is whole, and every ref leads to one through a whole history."""
    for name in NAMES:
        store = world.store(name)
        assert audit(store, inventory(store)).wrong == {}


def state(world: World) -> dict[str, Pins]:
    return {name: world.pins(name) for name in NAMES}


@pytest.mark.parametrize("act", [promote, pin_first_time, pin_next, rollback_to_first, rollback])
def test_any_crash_is_harmless_and_the_rerun_completes(
    template: World, tmp_path: Path, act: Act
) -> None:
    done = World(tmp_path / "done")
    shutil.copytree(template.project, done.project)
    act(done)
    old, new = state(template), state(done)
    assert old != new
    chains = {name: chain(done, name) for name in NAMES}
    for world in crashes(template, tmp_path, act):
        assert_works(world)
        found = state(world)
        assert found in (old, new)
        if act is rollback and found == new:
            continue  # it was complete; once more would go forth again
        act(world)
        assert state(world) == new
        assert_works(world)
        assert {name: chain(world, name) for name in NAMES} == chains


def chain(world: World, name: str) -> list[str]:
    return [record.commit for record in world.records(name)]
