"""Blobs that the server copies from store to store: checked, gone on with, or left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import faulty
from tests.integration.store.conftest import (
    S3Place,
    backend_of,
    client_of,
    initialised,
    stored_key,
)
from tests.services import Minio
from tests.store_contents import Bytes, blob_of, noise
from tests.store_contract import Place
from waybill.digest import PIECE
from waybill.errors import Corrupt, Interrupted
from waybill.store import layout, sync
from waybill.store.base import no_progress
from waybill.store.connect import Access
from waybill.store.s3_upload import CHECKED
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIZE = 2 * PIECE + 1000
DATA = noise(SIZE)
BLOB = blob_of(DATA)
KEY = layout.blob(BLOB.digest)


@pytest.fixture
def source(place: Place) -> Store:
    return initialised(place)


@pytest.fixture
def target(source: Store, minio: Minio, bucket: str) -> Store:  # noqa: ARG001 - the credentials
    """Another bucket of the same server."""

    return initialised(S3Place(f"s3://{bucket}", Access(endpoint=minio.endpoint)))


@contextmanager
def calls(store: Store) -> Iterator[list[str]]:
    """The operations that move bytes, as the store's client asks for them."""
    seen: list[str] = []

    def note(model: Any, **_: object) -> None:
        seen.append(model.name)

    events = backend_of(store).client.meta.events
    events.register("before-call.s3", note)
    try:
        yield seen
    finally:
        events.unregister("before-call.s3", note)


def sent(seen: list[str]) -> int:
    return sum(name in ("PutObject", "UploadPart", "GetObject") for name in seen)


def test_no_byte_passes_through_the_client(source: Store, target: Store) -> None:
    source.upload(BLOB, Bytes(DATA))
    told: list[int] = []
    with calls(target) as seen:
        sync.send(source, target, told.append, BLOB)
    assert sent(seen) == 0
    assert sum(told) == SIZE
    assert target.has(BLOB)
    target.verify(BLOB)
    stat = target.backend.stat(KEY)
    assert stat and stat.checked


def test_a_copy_can_be_copied_on(source: Store, target: Store, place: Place) -> None:
    blob = blob_of(data := noise(9 << 20))
    source.upload(blob, Bytes(data))
    third = initialised(S3Place(place.url + "-third", place.access))
    assert target.copy(blob, source)
    with calls(third) as seen:
        assert third.copy(blob, target)
    assert sent(seen) == 0
    third.verify(blob)


def test_an_interrupted_copy_is_gone_on_with(source: Store, target: Store) -> None:
    source.upload(BLOB, Bytes(DATA))
    done: list[int] = []

    def stop(count: int) -> None:
        done.append(count)
        if sum(done):
            raise Interrupted

    with pytest.raises(Interrupted):
        target.copy(BLOB, source, stop)
    assert target.backend.stat(KEY) is None
    with calls(target) as seen:
        assert target.copy(BLOB, source)
    assert seen.count("UploadPartCopy") < 3
    target.verify(BLOB)


def test_what_sending_began_is_not_mixed_with_a_copy(source: Store, target: Store) -> None:
    source.upload(BLOB, Bytes(DATA))
    with pytest.raises(Corrupt):
        target.upload(BLOB, Bytes(DATA[: PIECE + 5] + bytes(SIZE - PIECE - 5)))
    sync.send(source, target, no_progress, BLOB)
    target.verify(BLOB)


def test_what_a_copy_began_can_be_sent(source: Store, target: Store) -> None:
    source.upload(BLOB, Bytes(DATA))

    def stop(count: int) -> None:
        if count:
            raise Interrupted

    with pytest.raises(Interrupted):
        target.copy(BLOB, source, stop)
    target.upload(BLOB, Bytes(DATA))
    target.verify(BLOB)


def test_a_blob_that_nobody_checked_is_sent_and_checked(
    source: Store, target: Store, s3: S3Client
) -> None:
    blob = blob_of(data := noise(9 << 20))
    wrong = bytes(len(data))
    s3.put_object(**stored_key(source, layout.blob(blob.digest)), Body=wrong)
    assert not target.copy(blob, source)
    with pytest.raises(Corrupt, match=f"{blob.digest} in {source.url}"):
        sync.send(source, target, no_progress, blob)
    assert target.backend.stat(layout.blob(blob.digest)) is None


def test_an_etag_that_is_not_of_our_parts_is_not_believed(
    source: Store, target: Store, s3: S3Client
) -> None:
    place = stored_key(source, KEY)
    upload = s3.create_multipart_upload(**place, Metadata={CHECKED: "sha256"})["UploadId"]
    cuts = (0, PIECE + (1 << 20), SIZE)
    parts: list[Any] = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(
                **place, UploadId=upload, PartNumber=number, Body=DATA[begin:end]
            )["ETag"],
        }
        for number, (begin, end) in enumerate(pairwise(cuts), 1)
    ]
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert not target.copy(BLOB, source)
    there = stored_key(target, KEY)
    left = s3.list_multipart_uploads(Bucket=there["Bucket"], Prefix=there["Key"])
    assert not left.get("Uploads")
    sync.send(source, target, no_progress, BLOB)
    target.verify(BLOB)


def test_a_writer_who_was_first_wins(source: Store, target: Store) -> None:
    source.upload(BLOB, Bytes(DATA))
    told: list[int] = []

    def other(count: int) -> None:
        if count and not told:
            told.append(count)
            target.upload(BLOB, Bytes(DATA))

    assert target.copy(BLOB, source, other)
    target.verify(BLOB)


def test_another_server_is_sent_to(source: Store, minio: Minio, bucket: str) -> None:
    blob = blob_of(data := noise(9 << 20))
    source.upload(blob, Bytes(data))
    with faulty(minio.endpoint) as other:
        client_of.cache_clear()
        target = initialised(S3Place(f"s3://{bucket}/beside", Access(endpoint=other.endpoint)))
        assert not target.copy(blob, source)
        sync.send(source, target, no_progress, blob)
        target.verify(blob)
