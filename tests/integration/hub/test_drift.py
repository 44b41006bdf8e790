"""`waybill drift` as the chart's CronJob asks a real hub for what is pinned."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import BROKEN, CONNECTIONS, NOT_HERE, SLOW_DOWN, STALL, Faults, faulty, gets
from tests.integration.hub.conftest import Hub, fill, hub_process
from tests.services import free_port
from tests.unit.hub import models
from tests.unit.sign.making import asking, signer
from waybill.deliver.pins import Revision
from waybill.digest import from_hex
from waybill.release.drift import Drift
from waybill.release.hub_drift import Limits, in_hub
from waybill.store import evidence
from waybill.store.store import Store


@pytest.fixture
def pinned(hub: Hub) -> Revision:
    described = hub.manifest.descriptor
    return Revision(str(models.REPO), described.digest, hub.manifest.size)


def looked(url: str, *revisions: Revision, **limits: float) -> Drift:
    found = Drift()
    in_hub(found, url, revisions, limits=Limits(**{"patience": 5.0, **limits}))
    return found


Served = tuple[Faults, Revision]


@pytest.fixture
def served(in_directory: Store, tmp_path: Path) -> Iterator[Served]:
    """A line to a hub over a directory, and what is pinned there."""
    manifest = fill(in_directory)
    pinned = Revision(str(models.REPO), manifest.descriptor.digest, manifest.size)
    with hub_process(in_directory.url, tmp_path, manifest) as hub, faulty(hub.url) as line:
        yield line, pinned


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
    others = [dataclasses.replace(pinned, repo=f"acme/n{number}") for number in range(20)]
    begin = time.monotonic()
    found = looked(url, *others, patience=2.0)
    assert time.monotonic() - begin < 10, "it is waited for once, and not for each"
    assert found.findings == []
    (told,) = found.unread
    assert told.startswith(f"the hub {url}: ")
    assert all(f"{each.repo}@{each.commit}" in told for each in others)


@pytest.mark.parametrize("fault", [BROKEN, SLOW_DOWN, *CONNECTIONS])
def test_a_short_failure_is_none(served: Served, fault: str) -> None:
    line, pinned = served
    line.next(fault, gets, times=2)
    assert looked(line.endpoint, pinned, pinned, pinned) == Drift()
    assert line.done[fault] == 2


def test_it_is_told_that_the_hub_is_waited_for(served: Served) -> None:
    (line, pinned), told, found = served, list[str](), Drift()
    line.next(BROKEN, gets, times=2)
    in_hub(found, line.endpoint, [pinned], told.append)
    assert found == Drift()
    assert [each.split("; ")[0] for each in told] == [
        f"the source {line.endpoint} cannot be read: it answers 500"
    ] * 2


def test_a_failure_that_lasts_is_told_once_it_was_waited_for(served: Served) -> None:
    line, pinned = served
    line.next(SLOW_DOWN, gets, times=1000)
    found = looked(line.endpoint, pinned)
    assert found.findings == []
    where = f"{pinned.repo}@{pinned.commit}"
    assert found.unread == [f"the hub {line.endpoint}: it answers 503, for {where}"]
    assert line.done[SLOW_DOWN] > 2


def test_what_the_hub_refuses_is_asked_once(served: Served) -> None:
    line, pinned = served
    line.next(NOT_HERE, gets)
    found = looked(line.endpoint, pinned)
    assert "it answers 405" in found.unread[0]
    assert len(line.seen) == 1


def test_answers_that_are_slow_come_side_by_side_and_are_not_waited_for_for_ever(
    served: Served,
) -> None:
    line, pinned = served
    revisions = [dataclasses.replace(pinned, size=number) for number in range(12)]
    line.pause = 1.0
    line.next(STALL, gets, times=1000)
    begin = time.monotonic()
    found = looked(line.endpoint, *revisions, budget=2.5)
    assert time.monotonic() - begin < 6
    assert found.findings == []
    (told,) = found.unread
    assert "no answer within the 2.5 s for all questions" in told
    assert 4 <= len(line.seen) < 12
    assert told.count(f"{pinned.repo}@") == 12 - len(line.seen)


def test_what_its_trust_policy_refuses_has_its_own_way_on(
    in_directory: Store, tmp_path: Path
) -> None:
    manifest, made = fill(in_directory), signer("p256")
    pinned = Revision(str(models.REPO), manifest.descriptor.digest, manifest.size)
    policy = ("--trust", str(asking(tmp_path / "trust.yaml", made)))
    with hub_process(in_directory.url, tmp_path, manifest, *policy) as hub:
        (found,) = looked(hub.url, pinned).findings
        assert "the store has lost it" in found.advice and "sideload or promote" in found.advice
        assert "trust policy refuses it" in found.advice and "waybill evidence" in found.advice
        evidence.sign_provenance(in_directory, models.REPO, manifest, made, "a test")
        assert looked(hub.url, pinned) == Drift()
