"""`waybill drift` as the chart's CronJob asks a real hub for what is pinned."""

import dataclasses
from pathlib import Path

import pytest

from tests.integration.hub.conftest import Hub, fill, hub_process
from tests.services import free_port
from tests.unit.hub import models
from waybill.deliver.pins import Revision
from waybill.digest import from_hex
from waybill.release.drift import Drift, in_hub
from waybill.store.store import Store


@pytest.fixture
def pinned(hub: Hub) -> Revision:
    described = hub.manifest.descriptor
    return Revision(str(models.REPO), described.digest, hub.manifest.size)


def looked(url: str, *revisions: Revision) -> Drift:
    found = Drift()
    in_hub(found, url, revisions)
    return found


def test_what_it_gives_is_no_drift_and_what_it_lost_is(hub: Hub, pinned: Revision) -> None:
    assert looked(hub.url, pinned) == Drift()
    lost = dataclasses.replace(pinned, digest=from_hex("ab" * 32))
    other = dataclasses.replace(pinned, repo="acme/nowhere")
    found = looked(hub.url, pinned, lost, other)
    assert [each.object for each in found.findings] == [
        f"{each.repo}@{each.commit}" for each in (lost, other)
    ]
    assert {(each.between, each.found) for each in found.findings} == {
        ("pins and store", "nothing")
    }
    assert found.unread == []


def test_what_is_lost_under_a_hub_that_has_it_in_memory_is_seen(
    in_directory: Store, tmp_path: Path
) -> None:
    manifest = fill(in_directory)
    pinned = Revision(str(models.REPO), manifest.descriptor.digest, manifest.size)
    with hub_process(in_directory.url, tmp_path, manifest) as hub:
        assert looked(hub.url, pinned) == Drift()
        blob = next(iter(manifest.blobs.values()))
        (path,) = (tmp_path).rglob(blob.digest.removeprefix("sha256:"))
        path.unlink()
        (found,) = looked(hub.url, pinned).findings
        assert found.object == f"{models.REPO}@{manifest.commit}"


def test_a_hub_that_is_away_is_no_good_answer(pinned: Revision) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    found = looked(url, pinned)
    assert found.findings == []
    assert [each.startswith(f"the hub {url}: ") for each in found.unread] == [True]
