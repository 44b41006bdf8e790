"""Sideloading into a directory store: what it sends, what it decides, and every crash."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bundle.bundles import (
    FILES,
    MAIN,
    REPO,
    bytes_below,
    files_of,
    load,
    new_store,
    noise,
    pack,
    sound,
    write,
)
from tests.unit.release.test_sync import Overtaken
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.format import Extent, Part
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.bundle.sideload import Decision, Loading
from waybill.digest import of
from waybill.errors import (
    Corrupt,
    Interrupted,
    NoConditionalWrites,
    NotAStore,
    RefMoved,
    WaybillError,
)
from waybill.manifest import STATEMENT_TYPE
from waybill.source.directory import DirectorySource
from waybill.store import layout
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref
from waybill.store.store import Store

UPSTREAM = "c" * 40
TAG = Ref("tags", "v1")
BOTH = Decision((MAIN, TAG), "a test", "to see")
WRITES = ("create", "replace", "upload")


class Crash(BaseException):
    """What a kill looks like from inside."""


class Stopping:
    """A backend that stops at the k-th call that writes, before or after it."""

    def __init__(self, backend: Any, at: int, when: str) -> None:
        self._backend, self.url, self._left, self._when = backend, backend.url, at, when
        self.crashed = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        return method if name not in WRITES else lambda *args: self._call(method, *args)

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        if self.crashed:
            raise Crash
        self._left -= 1
        if self._left < 0 and self._when == "before":
            self.crashed = True
            raise Crash
        result = method(*args)
        if self._left < 0:
            self.crashed = True
            raise Crash
        return result


def visible(store: Store) -> dict[str, str]:
    """Revisions, aliases and statements. Records hold times, so refs are compared by history."""
    root = Path(store.backend.root)  # type: ignore[attr-defined]
    return bytes_below(root, but=["uploads", "refs", "blobs", "store.json", ".lock"])


@pytest.fixture
def upstream(small: None, tmp_path: Path) -> Path:  # noqa: ARG001
    """A bundle with an upstream commit, so that there is an alias to write, too."""
    snapshot = tmp_path / "models--Acme--Demo" / "snapshots" / UPSTREAM
    write(snapshot, FILES)
    Packing.plan(DirectorySource(snapshot), part_size=3 * 4096).run([tmp_path / "up"])
    return tmp_path / "up"


def test_a_bundle_becomes_a_revision_with_statement_alias_and_refs(
    upstream: Path, store: Store
) -> None:
    (loaded,) = load(store, upstream, decision=BOTH)
    assert files_of(store) == files_of(store, "v1") == files_of(store, UPSTREAM) == FILES
    assert loaded.repo == "Acme/Demo"
    assert (loaded.moved, loaded.notes) == (("heads/main", "tags/v1"), ())
    assert store.resolve(REPO, "main") == loaded.commit == store.resolve(REPO, "v1")
    found = store.referrers(REPO, loaded.commit)
    assert {blob.media_type for blob in found} == {STATEMENT_TYPE}
    packed = Bundle.open([upstream]).index.revisions[0].statements
    assert {store.read(blob.digest) for blob in found} == set(packed)
    head = store.head(REPO, MAIN)
    assert head is not None
    assert (head.record.by, head.record.why) == ("a test", "to see")


def test_progress_is_told_of_every_byte_that_is_sent(bundle: Path, store: Store) -> None:
    told: list[int] = []
    loading = Loading.plan(BundleCargo(Bundle.open([bundle])), store, BOTH)
    loading.run(told.append)
    assert sum(told) == loading.size == len(b"".join({*FILES.values()}))


def test_a_second_time_nothing_is_sent_and_the_history_does_not_grow(
    upstream: Path, store: Store
) -> None:
    load(store, upstream)
    before = bytes_below(Path(store.backend.root))  # type: ignore[attr-defined]
    load(store, upstream)
    assert bytes_below(Path(store.backend.root)) == before  # type: ignore[attr-defined]


def test_only_what_the_store_lacks_is_sent(bundle: Path, tmp_path: Path, store: Store) -> None:
    load(store, bundle)
    newer = write(tmp_path / "newer", {**FILES, "config.json": b"{}", "added.txt": b"new"})
    pack(newer, tmp_path / "second")
    loading = Loading.plan(BundleCargo(Bundle.open([tmp_path / "second"])), store, BOTH)
    assert sorted(blob.size for blob in loading.missing) == [2, 3]


def test_another_packing_of_an_upstream_commit_gets_no_alias_and_says_so(
    upstream: Path, tmp_path: Path, store: Store
) -> None:
    (first,) = load(store, upstream)
    snapshot = tmp_path / "models--Acme--Demo" / "snapshots" / UPSTREAM
    write(snapshot, {"config.json": b"{}"})
    Packing.plan(DirectorySource(snapshot), part_size=3 * 4096).run([tmp_path / "again"])
    (second,) = load(store, tmp_path / "again")
    assert second.notes == (
        f"the upstream commit {UPSTREAM} stands for another packing of it already",
    )
    assert store.resolve(REPO, UPSTREAM) == first.commit != second.commit
    assert store.resolve(REPO, "main") == second.commit


def test_of_two_at_once_one_moves_the_ref_and_the_other_says_so(
    bundle: Path, upstream: Path, tmp_path: Path, store: Store
) -> None:
    write(tmp_path / "model", {"config.json": b"{}"})
    pack(tmp_path / "model", tmp_path / "second")
    slow = Loading.plan(BundleCargo(Bundle.open([tmp_path / "second"])), store, BOTH)
    load(store, bundle)
    with pytest.raises(RefMoved, match="heads/main of Acme/Demo was moved by somebody else"):
        slow.run()
    assert files_of(store) == FILES
    load(store, upstream)


def test_a_store_that_is_none_is_refused_before_the_media_are_read(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    for name in ("plain", "missing"):
        with pytest.raises(NotAStore, match=f"{name} is not a Waybill store"):
            load(Store(FilesystemBackend(tmp_path / name)), bundle)
    assert bytes_below(tmp_path / "plain") == {}


def test_a_store_without_conditional_writes_is_refused_unless_nobody_else_writes(
    bundle: Path, tmp_path: Path, store: Store
) -> None:
    facts = b'{"conditionalWrites":false,"format":1,"id":"x"}'
    (tmp_path / "store" / "store.json").write_bytes(facts)
    with pytest.raises(NoConditionalWrites, match="not safe with two writers"):
        load(Store(store.backend), bundle)
    load(Store(store.backend, single_writer=True), bundle)


def test_a_blob_that_is_wrong_in_the_store_is_not_blamed_on_the_bundle(
    bundle: Path, store: Store
) -> None:
    load(store, bundle)
    blob = Bundle.open([bundle]).index.revisions[0].manifest.by_path["config.json"].digest
    (Path(store.backend.root) / layout.blob(blob)).write_bytes(b"short")  # type: ignore[attr-defined]
    with pytest.raises(Corrupt, match=f"{blob} in file://.*/store is corrupt: expected 23 bytes"):
        load(store, bundle)


def test_what_another_wrote_wrong_meanwhile_is_not_blamed_on_the_bundle(
    bundle: Path, store: Store
) -> None:
    with pytest.raises(Corrupt, match=f" in {store.url} is corrupt: .* found 5 bytes"):
        load(Store(Overtaken(store.backend)), bundle)


def test_an_interruption_stops_all_workers_and_a_rerun_completes(
    bundle: Path, store: Store
) -> None:
    def stop(_: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        Loading.plan(BundleCargo(Bundle.open([bundle])), store, BOTH).run(stop)
    assert list(store.backend.list("refs/")) == list(store.backend.list("repos/")) == []
    load(store, bundle)
    assert files_of(store) == FILES


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_between_any_two_writes_leaves_the_old_state_working_and_a_rerun_completes(
    when: str, upstream: Path, tmp_path: Path
) -> None:
    old = {"config.json": noise(300, 5)}
    pack(write(tmp_path / "old", old), tmp_path / "old-bundle")
    undisturbed = new_store(tmp_path / "undisturbed")
    load(undisturbed, tmp_path / "old-bundle")
    shutil.copytree(tmp_path / "undisturbed", tmp_path / "before")
    load(undisturbed, upstream, decision=BOTH)
    for at in range(100):
        store = Store(FilesystemBackend(tmp_path / f"store-{at}"))
        shutil.copytree(tmp_path / "before", store.backend.root)  # type: ignore[attr-defined]
        backend = Stopping(store.backend, at, when)
        try:
            load(Store(backend), upstream, decision=BOTH)
        except (Crash, WaybillError):
            assert backend.crashed
        assert sound(store)
        assert files_of(store) in (old, FILES)
        for commit in store.revisions(REPO):
            assert files_of(store, commit) in (old, FILES)
        load(store, upstream, decision=BOTH)
        assert visible(store) == visible(undisturbed)
        for ref in BOTH.refs:
            ours, theirs = store.history(REPO, ref), undisturbed.history(REPO, ref)
            assert [one.commit for one in ours] == [one.commit for one in theirs]
        assert sound(store)
        if not backend.crashed:
            assert at > 2 * len({*FILES.values()})
            return
    raise AssertionError("no end of writes")


def test_a_rerun_may_use_another_copy_of_the_bundle_elsewhere(
    upstream: Path, tmp_path: Path, store: Store
) -> None:
    with pytest.raises(Crash):
        load(Store(Stopping(store.backend, 3, "after")), upstream)
    copy = tmp_path / "copied"
    upstream.rename(copy)
    load(store, copy)
    assert files_of(store) == FILES


def test_a_part_is_told_from_others_without_a_look_at_all_that_it_holds() -> None:
    """It is looked up once for each blob: with thousands in it that would be millions of looks."""
    held = Extent("a/b", of(b"one"), 0, 1, 512)
    parts = [Part(1, 10_240, of(b"part"), extents) for extents in ((held,), ())]
    assert hash(parts[0]) == hash(parts[1])
    assert parts[0] != parts[1]
