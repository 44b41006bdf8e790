"""Copying a revision: order, what is skipped, what stops it."""

from typing import Any

import pytest

from tests.unit.release.world import REPO, World, manifest, upstream
from waybill.errors import BlobMissing, Corrupt, Interrupted, RepoNotFound, RevisionNotFound
from waybill.store import layout, sync
from waybill.store.base import Backend, no_progress
from waybill.store.layout import Ref
from waybill.store.store import Store


def test_copy_brings_all_but_the_ref(world: World) -> None:
    source, target = world.store("dev"), world.store("test")
    commit = world.revision("dev", 1).commit
    source.move(REPO, Ref("heads", "main"), commit, expected=None, by="a", why="b")
    copied = sync.copy_revision(source, target, REPO, commit)
    size = manifest(1).size
    assert (copied.blobs, copied.bytes, copied.skipped, copied.unaliased) == (3, size, 0, ())
    assert target.manifest(REPO, commit) == manifest(1)
    assert target.alias(REPO, upstream(1)) == commit
    assert target.referrers(REPO, commit) == source.referrers(REPO, commit)
    assert target.refs() == {}


def test_second_copy_sends_nothing(world: World) -> None:
    source, target = world.store("dev"), world.store("test")
    commit = world.revision("dev", 1).commit
    sync.copy_revision(source, target, REPO, commit)
    told: list[int] = []
    copied = sync.copy_revision(source, target, REPO, commit, told.append)
    assert (copied.blobs, copied.bytes, copied.skipped, sum(told)) == (0, 0, 3, 0)


def test_aliases_of_other_revisions_stay_behind(world: World) -> None:
    world.revision("dev", 2)
    sync.copy_revision(
        world.store("dev"), world.store("test"), REPO, world.revision("dev", 1).commit
    )
    assert list(world.store("test").aliases(REPO)) == [upstream(1)]


def test_unknown_repo_and_revision_are_told(world: World) -> None:
    source, target = world.store("dev"), world.store("test")
    with pytest.raises(RepoNotFound):
        sync.copy_revision(source, target, REPO, "a" * 40)
    world.revision("dev", 1)
    with pytest.raises(RevisionNotFound):
        sync.copy_revision(source, target, REPO, "a" * 40)


@pytest.mark.parametrize(
    ("data", "error", "found"),
    [
        (None, BlobMissing, "lacks sha256:"),
        (b"y" * 3000, Corrupt, "found sha256:"),
        (b"y", Corrupt, "expected 3000 bytes, found 1 bytes"),
        (b"y" * 3001, Corrupt, "found "),
    ],
)
def test_bad_source_is_named_and_nothing_becomes_visible(
    world: World, data: bytes | None, error: type[Exception], found: str
) -> None:
    source, target = world.store("dev"), world.store("test")
    made = world.revision("dev", 1)
    blob = made.by_path["model.safetensors"].descriptor
    path = source.backend.local_path(layout.blob(blob.digest))
    assert path
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(error, match=found) as caught:
        sync.copy_revision(source, target, REPO, made.commit)
    assert source.url in str(caught.value)
    assert target.url not in str(caught.value)
    assert not target.has(blob)
    assert target.revisions(REPO) == []


def test_damaged_statement_is_named_before_the_revision_is_visible(world: World) -> None:
    source, target = world.store("dev"), world.store("test")
    commit = world.revision("dev", 1).commit
    statement = source.referrers(REPO, commit)[0]
    path = source.backend.local_path(layout.blob(statement.digest))
    assert path
    path.write_bytes(b"{}")
    with pytest.raises(Corrupt, match=f"{statement.digest} in {source.url} is corrupt"):
        sync.copy_revision(source, target, REPO, commit)
    assert target.revisions(REPO) == []


class Overtaken:
    """A backend in which another writer is first, with other bytes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def upload(self, key: str, *_: object) -> bool:
        assert self._backend.create(key, b"short")
        return False


def test_what_another_wrote_wrong_into_the_target_is_no_fault_of_the_source(world: World) -> None:
    source, target = world.store("dev"), world.store("test")
    world.revision("dev", 1)
    blob = manifest(1).by_path["model.safetensors"].descriptor
    with pytest.raises(Corrupt, match=f"{blob.digest} in {target.url} is corrupt"):
        sync.send(source, Store(Overtaken(target.backend)), no_progress, blob)


def test_copy_can_be_stopped_from_its_progress(world: World) -> None:
    source, target = world.store("dev"), world.store("test")
    commit = world.revision("dev", 1).commit

    def stop(_: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        sync.copy_revision(source, target, REPO, commit, stop)
    assert target.revisions(REPO) == []
    assert sync.copy_revision(source, target, REPO, commit).bytes > 0
