"""Two images with a layer in common, in an archive, and the command line over small pieces."""

from pathlib import Path

import pytest

from tests.images import Built, archive, build, layer
from tests.unit.bundle.bundles import PIECE, noise
from tests.unit.cli.conftest import Waybill, model, small, waybill  # noqa: F401 - fixtures

BASE = layer({"bin/sh": noise(PIECE, 10)})
HUB, DATABASE = "example.com/acme/hub:1.0", "docker.io/library/database:17"
IMAGES = {
    HUB: build([BASE, layer({"hub": noise(2 * PIECE + 100, 11)})]),
    DATABASE: build([BASE, layer({"database": noise(300, 12)})]),
}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The archive of both."""
    return archive(tmp_path / "images.tar", IMAGES)


@pytest.fixture
def saved(built: Path, tmp_path: Path, waybill: Waybill) -> Path:  # noqa: F811
    """A bundle of both, in several parts."""
    return save(waybill, tmp_path / "bundle", built)


def save(waybill: Waybill, out: Path, built: Path, *options: object) -> Path:  # noqa: F811
    ran = waybill(
        "images", "save", HUB, DATABASE, "--archive", built, "--out", out, "--no-chart",
        "--part-size", 3 * PIECE, "--json", *options,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return out


def blobs_of(*images: Built) -> dict[str, bytes]:
    return {key: data for one in images for key, data in one.blobs.items()}
