"""A model, a bundle of it in several parts, and an empty store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import FILES, new_store, small_bundle, small_pieces, write
from waybill.store.store import Store


@pytest.fixture
def small() -> Iterator[None]:
    with small_pieces():
        yield


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", FILES)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("packed"), FILES)


@pytest.fixture
def bundle(small: None, packed: Path, model: Path, tmp_path: Path) -> Path:  # noqa: ARG001
    """A copy for each test to spoil."""
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path / "store")
