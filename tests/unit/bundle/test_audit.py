"""Reading a store back: what is wrong is listed, what cannot be reached is an error."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.bundle.bundles import FILES, REPO, load
from waybill.errors import StoreUnreachable
from waybill.store import layout
from waybill.store.audit import Audit, audit, inventory
from waybill.store.store import Store


@pytest.fixture
def loaded(bundle: Path, store: Store) -> Store:
    load(store, bundle)
    return store


def audited(store: Store) -> Audit:
    return audit(store, inventory(store))


def first_file(store: Store, prefix: str) -> Path:
    stat = next(iter(store.backend.list(prefix)))
    return Path(store.backend.root) / stat.key  # type: ignore[attr-defined]


def test_a_good_store_has_nothing_wrong_and_every_byte_is_read(loaded: Store) -> None:
    told: list[int] = []
    found = inventory(loaded)
    result = audit(loaded, found, told.append)
    distinct = {*FILES.values()}
    statements = loaded.referrers(REPO, loaded.resolve(REPO, "main"))
    assert (result.revisions, result.blobs) == (1, len(distinct) + 1 + len(statements))
    assert result.bytes == sum(told) == found.size > sum(map(len, distinct))
    assert result.wrong == {}


def test_one_repo_can_be_asked_for(loaded: Store) -> None:
    assert len(inventory(loaded, REPO).manifests) == 1
    assert inventory(loaded, layout.RepoId("some", "other")).manifests == {}


def test_an_empty_store_is_sound(store: Store) -> None:
    assert audited(store) == Audit()


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_each_blob_of_a_revision_is_read_back(harm: str, loaded: Store) -> None:
    root = Path(loaded.backend.root)  # type: ignore[attr-defined]
    for digest in inventory(loaded).blobs:
        path = root / layout.blob(digest)
        data = path.read_bytes()
        if harm == "remove" or not data:
            path.unlink()
        else:
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:] if harm == "flip" else data[:-1])
        assert list(audited(loaded).wrong) == [digest]
        path.write_bytes(data)
    assert audited(loaded).wrong == {}


def test_a_damaged_manifest_revision_or_statement_is_named_by_its_revision(loaded: Store) -> None:
    commit = loaded.resolve(REPO, "main")
    root = Path(loaded.backend.root)  # type: ignore[attr-defined]
    descriptor = loaded.revision(REPO, commit)
    assert descriptor is not None
    for path in (
        root / layout.blob(descriptor.digest),
        first_file(loaded, layout.revisions(REPO)),
        first_file(loaded, layout.referrers(REPO, commit)),
    ):
        data = path.read_bytes()
        path.write_bytes(data[:-2])
        assert f"acme/demo at {commit}" in audited(loaded).wrong
        path.write_bytes(data)
    assert audited(loaded).wrong == {}


@pytest.mark.parametrize("data", [b"", b"junk", b"sha256:" + b"0" * 64 + b"\n"])
def test_a_damaged_ref_is_named(data: bytes, loaded: Store) -> None:
    first_file(loaded, layout.REFS).write_bytes(data)
    assert list(audited(loaded).wrong) == ["refs/models/acme/demo/heads/main"]


def test_a_store_that_is_lost_meanwhile_is_not_called_damaged(loaded: Store) -> None:
    class Lost:
        def __init__(self, backend: Any, after: int) -> None:
            self._backend, self._left, self.url = backend, after, backend.url

        def __getattr__(self, name: str) -> Any:
            self._left -= 1
            if self._left < 0:
                raise StoreUnreachable(url=self.url, why="the cable was pulled")
            return getattr(self._backend, name)

    for after in range(1000):
        try:
            result = audited(Store(Lost(loaded.backend, after)))
        except StoreUnreachable:
            continue
        assert (result.revisions, result.wrong) == (1, {})
        assert after > 20
        return
    raise AssertionError("always lost")
