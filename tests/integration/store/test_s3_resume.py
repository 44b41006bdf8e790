"""Uploads that stop and are gone on with, here or on another machine, alone or together."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import google_crc32c
import pytest

from tests.integration.store.conftest import backend_of, initialised, stored_key
from tests.store_contents import Bytes, blob_of, noise, pieces_of
from tests.store_contract import Place, assert_absent
from waybill import digest as digests
from waybill.digest import PIECE
from waybill.errors import Corrupt, Interrupted, SourceUnreachable
from waybill.store import layout
from waybill.store.base import no_progress
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIZE = 2 * PIECE + 1000
DATA = noise(SIZE)
BLOB = blob_of(DATA)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = initialised(place)
    yield store
    for upload in unfinished(backend_of(store).client, store):
        backend_of(store).client.abort_multipart_upload(
            **stored_key(store, layout.blob(BLOB.digest)), UploadId=upload
        )


def crcs(data: bytes) -> list[str]:
    """Of each piece, as the server writes it."""
    spans = digests.piece_spans(len(data))
    sums = [google_crc32c.value(data[at : at + length]) for at, length in spans]
    return [base64.b64encode(one.to_bytes(4)).decode() for one in sums]


def unfinished(s3: S3Client, store: Store) -> list[str]:
    target = stored_key(store, layout.blob(BLOB.digest))
    found = s3.list_multipart_uploads(Bucket=target["Bucket"], Prefix=target["Key"])
    return [upload["UploadId"] for upload in found.get("Uploads", [])]


def parts_there(s3: S3Client, store: Store) -> dict[int, str]:
    """Part number -> CRC-32C of the one unfinished upload, as the server reports them."""
    [upload] = unfinished(s3, store)
    target = stored_key(store, layout.blob(BLOB.digest))
    found = s3.list_parts(**target, UploadId=upload)
    return {part["PartNumber"]: part["ChecksumCRC32C"] for part in found.get("Parts", [])}


@contextmanager
def counted(store: Store) -> Iterator[list[int]]:
    """The numbers of the parts that this store sends."""
    sent: list[int] = []

    def note(params: dict[str, Any], **_: object) -> None:
        sent.append(params["PartNumber"])

    events = backend_of(store).client.meta.events
    events.register("before-parameter-build.s3.UploadPart", note)
    try:
        yield sent
    finally:
        events.unregister("before-parameter-build.s3.UploadPart", note)


def stop_at(store: Store, offset: int, data: bytes = DATA, *, rereadable: bool = True) -> None:
    with pytest.raises((SourceUnreachable, Corrupt)):
        store.upload(BLOB, Bytes(data, breaks=offset, rereadable=rereadable))


class Hooked(Bytes):
    """A content that does something when its second piece is opened for the first time."""

    def __init__(self, data: bytes, hook: Callable[[], None]) -> None:
        super().__init__(data)
        self._hook: Callable[[], None] | None = hook

    def open(self, offset: int, length: int) -> IO[bytes]:
        if offset >= PIECE and self._hook:
            hook, self._hook = self._hook, None
            hook()
        return super().open(offset, length)


@pytest.mark.parametrize("rereadable", [True, False])
def test_only_what_is_missing_is_sent_again(
    store: Store, place: Place, s3: S3Client, rereadable: bool
) -> None:
    stop_at(store, 2 * PIECE, rereadable=rereadable)
    assert_absent(store, BLOB)
    expected = crcs(DATA)
    assert parts_there(s3, store) == {1: expected[0], 2: expected[1]}
    elsewhere, told = place.open(), list[int]()
    with counted(elsewhere) as sent:
        content = Bytes(DATA, rereadable=rereadable)
        elsewhere.upload(BLOB, content, told.append)
    assert sent == [3]
    assert sum(told) == SIZE
    assert unfinished(s3, store) == []
    elsewhere.verify(BLOB)


class Wavering(Bytes):
    """Gives whoever sends the second piece other bytes, for the first two times."""

    left = 2

    def open(self, offset: int, length: int) -> IO[bytes]:
        sends = threading.current_thread().name.startswith("s3-part")
        if sends and PIECE <= offset < 2 * PIECE and self.left:
            self.left -= 1
            return io.BytesIO(bytes(length))
        return super().open(offset, length)


def test_part_that_was_sent_before_it_was_hashed_is_what_was_hashed(
    store: Store, s3: S3Client
) -> None:
    stop_at(store, PIECE)
    assert list(parts_there(s3, store)) == [1]
    with counted(store) as sent:
        store.upload(BLOB, Wavering(DATA))
    assert sorted(sent) == [2, 2, 3]
    store.verify(BLOB)


def test_what_is_proved_is_read_once_and_what_is_there_not_at_all(
    store: Store, place: Place
) -> None:
    pieces = pieces_of(DATA)
    with pytest.raises(SourceUnreachable):
        store.upload(BLOB, Bytes(DATA, breaks=2 * PIECE, pieces=pieces))
    content = Bytes(DATA, pieces=pieces)
    with counted(elsewhere := place.open()) as sent:
        elsewhere.upload(BLOB, content)
    assert sent == [3]
    assert content.read == SIZE - 2 * PIECE
    elsewhere.verify(BLOB)


def test_bytes_that_are_not_what_is_proved_never_become_visible(store: Store) -> None:
    pieces = pieces_of(DATA)
    with pytest.raises(Corrupt):
        store.upload(BLOB, Bytes(b"?" + DATA[1:], pieces=pieces))
    assert_absent(store, BLOB)


def test_machines_take_turns(store: Store, place: Place, s3: S3Client) -> None:
    for number in (1, 2):
        machine = place.open()
        with counted(machine) as sent:
            stop_at(machine, number * PIECE)
        assert sent == [number]
        assert sorted(parts_there(s3, store)) == list(range(1, number + 1))
    machine = place.open()
    with counted(machine) as sent:
        machine.upload(BLOB, Bytes(DATA))
    assert sent == [3]
    store.verify(BLOB)


def test_a_part_of_other_bytes_is_sent_again(store: Store, place: Place) -> None:
    stop_at(store, 2 * PIECE, b"?" + DATA[1:])
    machine = place.open()
    with counted(machine) as sent:
        machine.upload(BLOB, Bytes(DATA))
    assert sorted(sent) == [1, 3]
    store.verify(BLOB)


def test_known_pieces_do_not_stand_in_for_the_bytes_at_hand(store: Store, place: Place) -> None:
    stop_at(store, 2 * PIECE)
    wrong = b"?" + DATA[1:]
    with pytest.raises(Corrupt):
        store.upload(BLOB, Bytes(wrong, pieces=pieces_of(DATA)))
    assert_absent(store, BLOB)
    place.open().upload(BLOB, Bytes(DATA, pieces=pieces_of(DATA)))
    store.verify(BLOB)


def test_wrong_bytes_at_the_very_end_cost_only_the_last_part(store: Store) -> None:
    with pytest.raises(Corrupt):
        store.upload(BLOB, Bytes(DATA[:-1] + b"?"))
    with counted(store) as sent:
        store.upload(BLOB, Bytes(DATA))
    assert sent == [3]
    store.verify(BLOB)


def test_two_machines_at_once_both_succeed(store: Store, place: Place) -> None:
    stop_at(store, PIECE)
    meet = threading.Barrier(2)

    def machine(_: int) -> None:
        mine = place.open()
        meet.wait(10)
        mine.upload(BLOB, Bytes(DATA))
        assert mine.has(BLOB)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(machine, range(2)))
    store.verify(BLOB)


def test_an_upload_that_another_machine_finishes_is_finished(store: Store, place: Place) -> None:
    def finish() -> None:
        place.open().upload(BLOB, Bytes(DATA))

    store.upload(BLOB, Hooked(DATA, finish))
    store.verify(BLOB)


def test_an_upload_that_is_finished_with_other_bytes_is_corrupt(store: Store, s3: S3Client) -> None:
    def finish() -> None:
        s3.put_object(**stored_key(store, layout.blob(BLOB.digest)), Body=b"other")

    with pytest.raises(Corrupt, match=f"expected {SIZE} bytes, found 5 bytes"):
        store.upload(BLOB, Hooked(DATA, finish))


def test_an_upload_that_the_server_drops_is_begun_anew(store: Store, s3: S3Client) -> None:
    def drop() -> None:
        target = stored_key(store, layout.blob(BLOB.digest))
        s3.abort_multipart_upload(**target, UploadId=unfinished(s3, store)[0])

    told: list[int] = []
    content = Hooked(DATA, drop)
    stop_at(store, PIECE)
    store.upload(BLOB, content, told.append)
    assert sum(told) <= SIZE
    store.verify(BLOB)


def test_a_damaged_blob_is_not_taken_for_another_writers(store: Store, s3: S3Client) -> None:
    """Also where the server drops the upload that was to replace it."""
    target = stored_key(store, layout.blob(BLOB.digest))
    store.upload(BLOB, Bytes(DATA))
    meta = s3.head_object(**target)["Metadata"]
    s3.put_object(**target, Body=bytes(SIZE), Metadata=meta)

    def drop() -> None:
        s3.abort_multipart_upload(**target, UploadId=unfinished(s3, store)[0])

    store.upload(BLOB, Hooked(DATA, drop), replace=True)
    store.verify(BLOB)


def test_an_interrupted_upload_leaves_no_thread_behind(store: Store) -> None:
    """What was begun is ended before the error arrives: the source may be closed then."""
    total, over = 0, False

    def advance(count: int) -> None:
        nonlocal total
        assert not over
        total += count
        if total > PIECE:
            raise Interrupted

    content = Bytes(DATA)
    with pytest.raises(Interrupted):
        store.upload(BLOB, content, advance)
    over, read = True, content.read
    assert_absent(store, BLOB)
    store.upload(BLOB, Bytes(DATA), no_progress)
    assert content.read == read
    store.verify(BLOB)


def test_a_killed_process_is_gone_on_with(store: Store, place: Place, s3: S3Client) -> None:
    with place.paused("put", 0, SIZE, 2 * PIECE):
        poll = threading.Event()
        while len(parts_there(s3, store)) < 2:
            poll.wait(0.05)
    assert_absent(store, BLOB)
    with counted(store) as sent:
        store.upload(BLOB, Bytes(DATA))
    assert sent == [3]
    store.verify(BLOB)
