import shutil
from pathlib import Path

import pytest

from tests.unit.release.site import Site, new_site
from tests.unit.release.world import World, new_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path / "project")


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = new_world(tmp_path_factory.mktemp("released") / "project")
    one, two = (world.revision("dev", number).commit for number in (1, 2))
    world.pin("dev", one)
    world.promote("dev", "test")
    world.pin("dev", two)
    return world


@pytest.fixture
def model(released: World, tmp_path: Path) -> World:
    """Two revisions are in dev; the first was promoted to test, the second is pinned in dev."""
    shutil.copytree(released.project, tmp_path / "project")
    return World(tmp_path / "project")


@pytest.fixture(scope="session")
def policed(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return new_site(tmp_path_factory.mktemp("policed") / "project")


@pytest.fixture
def site(policed: Site, tmp_path: Path) -> Site:
    """dev is one revision ahead of test, whose trust policy names keys and asks for nothing."""
    shutil.copytree(policed.project, tmp_path / "site")
    return Site(tmp_path / "site", policed.keys)
