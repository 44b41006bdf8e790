"""The store in a bucket keeps the contract of all stores, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.store.conftest import stored_key
from tests.store_contents import Bytes, Changing, blob_of, noise, pieces_of
from tests.store_contract import (
    BLOB,
    DATA,
    Overwrite,
    Place,
    StoreContract,
    assert_absent,
    assert_comes_back,
    wrong_contents,
)
from waybill import digest as digests
from waybill.digest import PIECE
from waybill.errors import Corrupt
from waybill.store import layout
from waybill.store.s3_upload import sha256_header
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE = 150 << 20


class TestS3(StoreContract):
    @pytest.fixture
    def overwrite(self, s3: S3Client, place: Place) -> Overwrite:
        def write(key: str, data: bytes) -> None:
            metadata = {"waybill-checked": "sha256"}
            target = stored_key(place.open(), key)
            s3.put_object(**target, Body=data, Metadata=metadata)

        return write

    @pytest.fixture(autouse=True)
    def nothing_else_in_the_bucket_is_touched(self, s3: S3Client, place: Place) -> Iterator[None]:
        bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
        before = keys_outside(s3, bucket, prefix)
        yield
        assert keys_outside(s3, bucket, prefix) == before
        store = place.open()
        keys: list[Any] = [
            {"Key": stored_key(store, stat.key)["Key"]} for stat in store.backend.list("")
        ]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})

    # Sizes around the pieces of 64 MiB.

    @pytest.mark.usefixtures("store")
    @pytest.mark.parametrize("rereadable", [True, False])
    @pytest.mark.parametrize("size", [PIECE, PIECE + 1])
    def test_blobs_around_one_piece_come_back(
        self, place: Place, size: int, rereadable: bool
    ) -> None:
        assert_comes_back(place, noise(size), rereadable=rereadable)

    @pytest.mark.usefixtures("store")
    @pytest.mark.parametrize(("rereadable", "known"), [(True, False), (False, True)])
    def test_a_blob_of_three_pieces_comes_back(
        self, place: Place, rereadable: bool, known: bool
    ) -> None:
        data = noise(LARGE)
        pieces = pieces_of(data) if known else None
        assert_comes_back(place, data, rereadable=rereadable, pieces=pieces)

    @pytest.mark.parametrize("rereadable", [True, False])
    def test_wrong_bytes_of_a_blob_in_pieces_never_become_visible(
        self, store: Store, rereadable: bool
    ) -> None:
        data = noise(PIECE + 1)
        for content in list(wrong_contents(data, rereadable=rereadable))[:4]:
            with pytest.raises(Corrupt):
                store.upload(blob_of(data), content)
            assert_absent(store, blob_of(data))
        store.upload(blob_of(data), Bytes(data, rereadable=rereadable))
        store.verify(blob_of(data))

    def test_a_known_piece_that_is_not_in_the_content_is_refused(self, store: Store) -> None:
        data = noise(PIECE + 1)
        pieces = [pieces_of(data)[0], digests.of(b"other")]
        with pytest.raises(Corrupt):
            store.upload(blob_of(data), Bytes(data, pieces=pieces))
        assert_absent(store, blob_of(data))

    def test_a_file_that_changes_while_it_is_sent_is_never_stored(self, store: Store) -> None:
        data = noise(PIECE + 1)
        later = data[:10] + b"changed" + data[17:]
        with pytest.raises(Corrupt):
            store.upload(blob_of(data), Changing(data, later))
        assert_absent(store, blob_of(data))

    def test_of_known_pieces_the_very_bytes_that_are_sent_are_checked(self, store: Store) -> None:
        data = noise(PIECE + 1)
        later = data[:10] + b"changed" + data[17:]
        store.upload(blob_of(data), Changing(data, later, pieces=pieces_of(data)))
        store.verify(blob_of(data))

    def test_known_pieces_do_not_vouch_for_other_bytes(self, store: Store) -> None:
        data = noise(PIECE + 1)
        with pytest.raises(Corrupt):
            store.upload(blob_of(data), Changing(data[1:] + b"?", data, pieces=pieces_of(data)))
        assert_absent(store, blob_of(data))

    def test_a_small_file_that_changes_while_it_is_sent_is_never_stored(self, store: Store) -> None:
        with pytest.raises(Corrupt):
            store.upload(BLOB, Changing(noise(len(DATA), 1), DATA))
        assert_absent(store)

    # What others put there.

    def test_an_object_of_unknown_origin_is_verified_before_it_counts(
        self, store: Store, s3: S3Client
    ) -> None:
        s3.put_object(**stored_key(store, layout.blob(BLOB.digest)), Body=DATA)
        stat = store.backend.stat(layout.blob(BLOB.digest))
        assert stat is not None
        assert not stat.checked
        assert store.has(BLOB)
        store.upload(BLOB, Bytes(DATA))

    def test_a_wrong_object_of_unknown_origin_is_refused(self, store: Store, s3: S3Client) -> None:
        wrong = DATA[:-1] + b"\0"
        s3.put_object(**stored_key(store, layout.blob(BLOB.digest)), Body=wrong)
        with pytest.raises(Corrupt, match=f"{BLOB.digest} in {store.url} is corrupt"):
            store.has(BLOB)
        with pytest.raises(Corrupt):
            store.upload(BLOB, Bytes(DATA))

    def test_an_upload_over_an_object_of_wrong_size_is_refused(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        overwrite(layout.blob(BLOB.digest), DATA[:-1])
        with pytest.raises(Corrupt, match="expected 1000000 bytes, found 999999 bytes"):
            store.upload(BLOB, Bytes(DATA))

    def test_what_we_wrote_counts_as_checked(self, store: Store) -> None:
        for data in (DATA, noise(PIECE + 1)):
            store.upload(blob_of(data), Bytes(data))
            stat = store.backend.stat(layout.blob(blob_of(data).digest))
            assert stat is not None
            assert stat.checked

    def test_the_server_keeps_the_digest_of_what_it_got(self, store: Store, s3: S3Client) -> None:
        store.upload(BLOB, Bytes(DATA))
        target = stored_key(store, layout.blob(BLOB.digest))
        found = s3.get_object_attributes(**target, ObjectAttributes=["Checksum"])
        assert found["Checksum"]["ChecksumSHA256"] == sha256_header(BLOB.digest)


def keys_outside(s3: S3Client, bucket: str, prefix: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
    return {key for key in keys if not key.startswith(f"{prefix}/")}
