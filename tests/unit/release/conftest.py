from pathlib import Path

import pytest

from tests.unit.release.world import World, new_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path / "project")


@pytest.fixture
def model(world: World) -> World:
    """Two revisions are in dev; the first was promoted to test, the second is pinned in dev."""
    one, two = (world.revision("dev", number).commit for number in (1, 2))
    world.pin("dev", one)
    world.promote("dev", "test")
    world.pin("dev", two)
    return world
