"""A real registry, and bundles of images that are large enough to go in pieces."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.images import Built, archive, build, digest_of, layer
from tests.integration.source.conftest import nobody  # noqa: F401 - nobody's credentials
from tests.integration.source.registry import Registry, registry_server
from tests.store_contents import noise
from tests.unit.cli.conftest import Waybill, waybill  # noqa: F401 - a fixture
from waybill.source import uploads

PIECE = 1 << 20
BASE = layer({"bin/sh": noise(5 * PIECE + 1234, 1)})
HUB, DATABASE = "example.com/acme/hub:1.0", "docker.io/library/database:17"
IMAGES = {
    HUB: build([BASE, layer({"hub": noise(3 * PIECE, 2)})]),
    DATABASE: build([BASE, layer({"database": noise(300, 3)})]),
}
Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PIECE", PIECE)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Registry]:
    """One that has nothing yet."""
    (tmp_path / "registry").mkdir()
    with registry_server(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def save(tmp_path: Path, waybill: Waybill) -> Save:  # noqa: F811
    """A bundle of the images in an archive."""
    built = archive(tmp_path / "images.tar", IMAGES)

    def run(*names: str, out: str = "bundle", options: tuple[object, ...] = ()) -> Path:
        ran = waybill(
            "images", "save", *(names or IMAGES), "--archive", built, "--out", tmp_path / out,
            "--no-chart", *options,
        )  # fmt: skip
        assert ran.code == 0, ran.err
        return tmp_path / out

    return run


def pulled(registry: Registry, repository: str, tag: str) -> Built:
    """What a client of the registry gets, each blob by its digest."""
    with httpx.Client(
        base_url=f"http://{registry.host}/v2/{repository}", trust_env=False
    ) as client:
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        manifest = client.get(f"/manifests/{tag}", headers=accept).raise_for_status().content
        value = json.loads(manifest)
        names = [one["digest"] for one in (value["config"], *value["layers"])]
        blobs = {one: client.get(f"/blobs/{one}").raise_for_status().content for one in names}
    assert all(digest_of(data) == name for name, data in blobs.items())
    return Built(manifest, {**blobs, digest_of(manifest): manifest})
