"""What every store must do. A new one is done when a class that inherits this one passes.

A subclass gives two fixtures: `place`, a fresh place that is no store yet, and `overwrite`,
which puts bytes under a key behind the store's back.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.store_contents import Bytes, blob_of, noise, pieces_of
from tests.store_contract_refs import RefContract
from waybill import digest as digests
from waybill.digest import PIECE
from waybill.errors import (
    BadFile,
    BlobMissing,
    Corrupt,
    Interrupted,
    NotAStore,
    PruneHeldUp,
    SourceUnreachable,
    StoreFormatUnknown,
)
from waybill.store import layout
from waybill.store.base import BytesContent
from waybill.store.connect import Access, connect
from waybill.store.store import Store

DATA = noise(1_000_000)
BLOB = blob_of(DATA)
FACTS = b'{"conditionalWrites":true,"format":1,"id":"test"}'
Overwrite = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Place:
    """Where a store is, or could be."""

    url: str
    access: Access = field(default_factory=Access)

    def open(self) -> Store:
        return connect(self.url, self.access)

    @contextmanager
    def paused(self, action: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """A worker that says that it waits; it does not outlive the block."""
        with self.worker(action, *arguments) as worker:
            try:
                assert worker.stdout
                assert worker.stdout.readline() == "paused\n"
                yield worker
            finally:
                worker.kill()

    def worker(self, action: str, *arguments: object) -> subprocess.Popen[str]:
        """Another process that does something to the same store: tests/store_worker.py."""
        options = [self.url, self.access.endpoint or "", *map(str, arguments)]
        command = [sys.executable, "-m", "tests.store_worker", action, *options]
        return subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )


def keys_below(store: Store, prefix: str) -> list[str]:
    return [stat.key for stat in store.backend.list(prefix)]


def assert_absent(store: Store, blob: object = BLOB) -> None:
    assert not store.has(blob)  # type: ignore[arg-type]
    assert keys_below(store, "blobs/") == []


def assert_comes_back(place: Place, data: bytes, **options: object) -> None:
    """A content of this form is stored, and every way of reading gives it back."""
    blob, store, told = blob_of(data), place.open(), list[int]()
    store.upload(blob, Bytes(data, **options), told.append)  # type: ignore[arg-type]
    again = place.open()
    assert again.has(blob)
    assert sum(told) == blob.size
    told.clear()
    again.verify(blob, told.append)
    assert sum(told) == blob.size
    assert keys_below(store, "blobs/") == [layout.blob(blob.digest)]


def wrong_contents(data: bytes, **options: object) -> Iterator[Bytes]:
    """Contents that are not `data`, as a flipped bit, a cut or an addition makes them."""
    for bad in (
        bytes([data[0] ^ 1]) + data[1:],
        data[:-1] + bytes([data[-1] ^ 1]),
        data[:-1],
        data[: len(data) // 2],
        b"",
        data + b"\0",
    ):
        yield Bytes(bad, **options)  # type: ignore[arg-type]
        if len(bad) < len(data):
            yield Bytes(bad, size=len(data), **options)  # type: ignore[arg-type]


class StoreContract(RefContract):
    @pytest.fixture
    def store(self, place: Place) -> Store:
        """A store as `init` leaves it, without the seconds that the probe of a server takes."""
        backend = place.open().backend
        if backend.local_path("") is not None:
            backend.probe()
        assert backend.create(layout.STORE, FACTS)
        return place.open()

    # The store itself.

    def test_a_place_becomes_a_store_once(self, place: Place) -> None:
        first = place.open().init()
        assert first["format"] == 1
        assert first["conditionalWrites"] is True
        assert place.open().init() == first
        assert place.open().facts == first
        assert keys_below(place.open(), "") in ([layout.STORE], [".lock", layout.STORE])

    def test_a_place_that_is_no_store_says_how_to_make_it_one(self, place: Place) -> None:
        with pytest.raises(NotAStore, match="is not a Waybill store") as caught:
            place.open().facts  # noqa: B018
        assert caught.value.advice.endswith(f"become one: waybill store init {place.url}")

    @pytest.mark.parametrize("facts", [b'{"format":2}', b'{"format":"1","conditionalWrites":true}'])
    def test_a_format_from_the_future_is_not_touched(
        self, store: Store, overwrite: Overwrite, facts: bytes
    ) -> None:
        overwrite(layout.STORE, facts)
        for refused in (store.init, lambda: store.facts):
            with pytest.raises(StoreFormatUnknown, match=r"and this version knows only 1"):
                refused()
        assert store.backend.read(layout.STORE) == facts

    @pytest.mark.parametrize("facts", [b"", b"{", b"[]", b"\xff", b"{}", b'{"format":1}', b"1"])
    def test_a_damaged_store_json_is_a_sentence(
        self, store: Store, overwrite: Overwrite, facts: bytes
    ) -> None:
        overwrite(layout.STORE, facts)
        with pytest.raises(BadFile, match=r"store\.json cannot be used: it is damaged"):
            store.init()

    # Keys and bytes.

    def test_of_two_creations_the_first_stays(self, store: Store) -> None:
        assert store.backend.create("a/b", b"1")
        assert not store.backend.create("a/b", b"2")
        assert not store.backend.create("a/b", b"1")
        assert store.backend.read("a/b") == b"1"

    def test_a_replacement_needs_what_is_there(self, store: Store) -> None:
        replace = store.backend.replace
        assert not replace("a/b", b"1", b"0")
        assert replace("a/b", b"1", None)
        assert not replace("a/b", b"2", None)
        assert not replace("a/b", b"2", b"0")
        assert replace("a/b", b"2", b"1")
        assert store.backend.read("a/b") == b"2"

    def test_keys_are_listed_in_their_order(self, store: Store) -> None:
        keys = ["l/a", "l/a-b/x", "l/a.b", "l/a/x", "l/a/x-y", "l/ab"]
        for key in reversed(keys[1:]):
            assert store.backend.create(key, b"1")
        assert keys_below(store, "l/") == keys[1:]
        assert keys_below(store, "l/a-") == ["l/a-b/x"]
        assert keys_below(store, "none/") == []
        assert [stat.size for stat in store.backend.list("l/ab")] == [1]

    def test_what_is_written_is_dated_by_the_clock_of_the_store(self, store: Store) -> None:
        before = store.backend.now()
        assert store.backend.create("a/b", b"1")
        stat, [listed] = store.backend.stat("a/b"), store.backend.list("a/")
        assert stat
        assert before - 2 < stat.modified < store.backend.now() + 2
        assert abs(listed.modified - stat.modified) < 2

    def test_a_deletion_is_done_before_its_moment_or_not_at_all(self, store: Store) -> None:
        for key in ("a/b", "a/c", "a/b c+\u00e9"):
            store.backend.create(key, b"1")
        now = store.backend.now()
        for late in (now - 1000, now - 2):
            with pytest.raises(PruneHeldUp, match="was held up for too long"):
                store.backend.delete("a/b", late)
        assert keys_below(store, "a/") == ["a/b", "a/b c+\u00e9", "a/c"]
        for key in ("a/b", "a/b", "a/b c+\u00e9", "none"):
            assert store.backend.delete(key, now + 60)
        assert keys_below(store, "a/") == ["a/c"]

    # Blobs.

    def test_a_blob_comes_back_as_it_went_in(self, store: Store, place: Place) -> None:
        assert_absent(store)
        assert_comes_back(place, DATA)
        with store.open(BLOB) as stream:
            assert b"".join(digests.chunks(stream)) == DATA
        assert store.read(BLOB.digest) == DATA

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, 1), (7, 100), (999_999, 1), (500_000, 500_000), (3, 0)]
    )
    def test_a_range_of_a_blob_is_those_bytes(self, store: Store, offset: int, length: int) -> None:
        store.write(DATA, BLOB.media_type)
        with store.open(BLOB, offset, length) as stream:
            assert b"".join(digests.chunks(stream, 1000)) == DATA[offset : offset + length]

    def test_a_range_without_a_length_goes_to_the_end(self, store: Store) -> None:
        store.write(DATA, BLOB.media_type)
        with store.open(BLOB, 999_000) as stream:
            assert stream.read() == DATA[999_000:]

    @pytest.mark.parametrize("rereadable", [True, False])
    def test_an_empty_blob_is_a_blob(self, store: Store, place: Place, rereadable: bool) -> None:
        assert_comes_back(place, b"", rereadable=rereadable)
        assert store.read(blob_of(b"").digest) == b""
        with store.open(blob_of(b"")) as stream:
            assert stream.read() == b""

    @pytest.mark.usefixtures("store")
    def test_one_byte_more_than_a_piece_comes_back(self, place: Place) -> None:
        data = noise(PIECE + 1)
        assert_comes_back(place, data, pieces=pieces_of(data))

    def test_a_blob_that_is_missing_is_said(self, store: Store) -> None:
        for read in (store.open, store.verify, lambda blob: store.read(blob.digest)):
            with pytest.raises(BlobMissing, match=f"lacks {BLOB.digest}"):
                read(BLOB)

    @pytest.mark.parametrize("rereadable", [True, False])
    def test_wrong_bytes_never_become_visible(self, store: Store, rereadable: bool) -> None:
        for content in wrong_contents(DATA, rereadable=rereadable):
            with pytest.raises(Corrupt, match=f"the content of {BLOB.digest} is corrupt"):
                store.upload(BLOB, content)
            assert_absent(store)
        store.upload(BLOB, Bytes(DATA))
        store.verify(BLOB)

    def test_a_content_that_is_longer_than_it_says_is_never_read_past_its_size(
        self, store: Store
    ) -> None:
        store.upload(BLOB, Bytes(DATA + b"more", size=len(DATA)))
        store.verify(BLOB)

    @pytest.mark.parametrize("rereadable", [True, False])
    @pytest.mark.parametrize("breaks", [0, 600_000])
    def test_a_source_that_breaks_leaves_nothing_visible(
        self, store: Store, rereadable: bool, breaks: int
    ) -> None:
        with pytest.raises(SourceUnreachable, match="the cable was pulled"):
            store.upload(BLOB, Bytes(DATA, breaks=breaks, rereadable=rereadable))
        assert_absent(store)
        store.upload(BLOB, Bytes(DATA, rereadable=rereadable))
        store.verify(BLOB)

    def test_progress_can_stop_an_upload(self, store: Store) -> None:
        def stop(_: int) -> None:
            raise Interrupted

        with pytest.raises(Interrupted):
            store.upload(BLOB, BytesContent(DATA), stop)
        assert_absent(store)

    @pytest.mark.parametrize("found", [b"", DATA[:-1], DATA + b"\0"])
    def test_a_blob_of_another_size_is_corrupt(
        self, store: Store, overwrite: Overwrite, found: bytes
    ) -> None:
        store.write(DATA, BLOB.media_type)
        overwrite(layout.blob(BLOB.digest), found)
        for look in (store.has, store.verify):
            with pytest.raises(Corrupt, match=f"expected 1000000 bytes, found {len(found)} bytes"):
                look(BLOB)

    def test_a_blob_that_was_changed_is_found_by_a_deep_read(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        store.write(DATA, BLOB.media_type)
        overwrite(layout.blob(BLOB.digest), DATA[:-1] + b"\0")
        with pytest.raises(Corrupt, match=f"{BLOB.digest} in .* is corrupt"):
            store.verify(BLOB)
        with pytest.raises(Corrupt):
            store.read(BLOB.digest)

    def test_threads_that_write_the_same_blob_do_not_disturb_each_other(self, store: Store) -> None:
        contents = [Bytes(DATA) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda content: store.upload(BLOB, content), contents))
        store.verify(BLOB)
        assert keys_below(store, "blobs/") == [layout.blob(BLOB.digest)]

    def test_processes_that_write_the_same_blob_do_not_disturb_each_other(
        self, store: Store, place: Place
    ) -> None:
        workers = [place.worker("put", 9, 5_000_000) for _ in range(2)]
        said = [worker.communicate(timeout=60)[0] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], said
        store.verify(blob_of(noise(5_000_000, 9)))
