"""Flipped bytes all over a small bundle; the unit tests flip one of each kind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import FILES, small_bundle, small_pieces
from tests.unit.bundle.test_verify import assert_found
from tests.unit.bundle.test_wrong_bundle import assert_harmless

PARTS = ["part-00001.tar", "part-00002.tar", "part-00003.tar"]


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_pieces():
        yield


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("packed"), FILES)


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    """A copy for each test to spoil."""
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


@pytest.mark.parametrize("which", ["bundle.json", *PARTS])
def test_wherever_a_byte_is_flipped_nothing_wrong_is_ever_visible(
    which: str, bundle: Path, tmp_path: Path
) -> None:
    size = (bundle / which).stat().st_size
    flips = {size * at // 50 for at in range(50)} | {0, size - 1}
    assert_harmless(bundle / which, sorted(flips), tmp_path)


@pytest.mark.parametrize("which", PARTS)
def test_wherever_a_byte_is_flipped_that_part_and_no_other_is_wrong(
    which: str, bundle: Path
) -> None:
    assert_found(bundle / which, range(0, (bundle / which).stat().st_size, 397))
