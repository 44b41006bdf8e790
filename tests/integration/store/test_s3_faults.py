"""Servers that are away, refuse, are full, or cannot do what a store needs: one sentence each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults import FULL, anything, faulty
from tests.integration.store.conftest import (
    S3Place,
    backend_of,
    initialised,
    write_credentials,
)
from tests.services import Minio, free_port, minio_server, needs
from tests.store_contents import Bytes, blob_of, noise
from tests.store_contract import BLOB, DATA, Place, assert_absent, keys_below
from tests.store_contract_refs import MAIN, REPO, add, move
from waybill.digest import PIECE
from waybill.errors import (
    AccessDenied,
    BadValue,
    BucketNotFound,
    NoConditionalWrites,
    NotAStore,
    StoreFull,
    StoreUnreachable,
    WaybillError,
)
from waybill.store import layout
from waybill.store.connect import Access, connect
from waybill.store.store import Store


def every_step(store: Store) -> list[Callable[[], object]]:
    return [
        lambda: store.facts,
        store.init,
        lambda: store.upload(BLOB, Bytes(DATA)),
        lambda: store.upload(blob_of(noise(PIECE + 1)), Bytes(noise(PIECE + 1))),
        lambda: store.read(BLOB.digest),
        lambda: store.open(BLOB),
        lambda: store.revisions(REPO),
        lambda: store.backend.create("x", b""),
        lambda: store.backend.replace("x", b"", b""),
    ]


def assert_each(store: Store, error: type[WaybillError], sentence: str) -> None:
    for step in every_step(store):
        with pytest.raises(error, match=sentence):
            step()


# Away, or not ours to use.


def test_a_server_that_is_not_there_is_unreachable() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = connect("s3://bucket/prefix", Access(endpoint=endpoint))
    with pytest.raises(StoreUnreachable, match="Could not connect to the endpoint") as caught:
        store.facts  # noqa: B018
    assert str(caught.value).startswith("the store s3://bucket/prefix cannot be reached: ")
    assert caught.value.exit_code == 7
    with pytest.raises(StoreUnreachable):
        store.has(BLOB)


@pytest.mark.parametrize("endpoint", ["not a url", "ftp://x", "http://"])
def test_an_endpoint_that_is_no_address_is_a_sentence(endpoint: str) -> None:
    with pytest.raises(BadValue, match="it must be http://host or https://host"):
        connect("s3://bucket", Access(endpoint=endpoint))


def test_credentials_in_an_endpoint_are_refused_and_not_repeated() -> None:
    with pytest.raises(BadValue, match="credentials do not belong in a URL") as caught:
        connect("s3://bucket", Access(endpoint="http://user:s3cret@host:9000"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("profile", ["wrong-secret", "unknown-key"])
def test_wrong_credentials_are_refused_at_every_step(place: Place, profile: str) -> None:
    store = connect(place.url, Access(endpoint=place.access.endpoint, profile=profile))
    assert_each(store, AccessDenied, f"the store {place.url} refuses access: ")
    with pytest.raises(AccessDenied):
        store.has(BLOB)


@pytest.mark.parametrize("profile", ["missing", "incomplete"])
def test_a_profile_that_says_nothing_usable_is_a_sentence(place: Place, profile: str) -> None:
    store = connect(place.url, Access(endpoint=place.access.endpoint, profile=profile))
    assert_each(store, AccessDenied, "the store .* refuses access: ")


def test_no_credentials_at_all_are_a_sentence(place: Place, credentials: Path) -> None:
    credentials.unlink()
    store = connect(place.url, place.access)
    with pytest.raises(AccessDenied, match="Unable to locate credentials") as caught:
        store.facts  # noqa: B018
    assert caught.value.advice == (
        "check the credentials, which expire if they are temporary, and their policy; "
        "of a directory, its owner, its mode and how it is mounted"
    )


def test_a_bucket_that_does_not_exist_is_a_sentence(minio: Minio) -> None:
    store = connect("s3://no-such-bucket/x", Access(endpoint=minio.endpoint))
    assert_each(store, BucketNotFound, "the bucket 'no-such-bucket' does not exist at s3://no")


def test_a_bucket_name_that_is_none_is_a_sentence(minio: Minio) -> None:
    with pytest.raises(BadValue, match="Invalid bucket name"):
        connect("s3://NOT_A_bucket!/x", Access(endpoint=minio.endpoint)).facts  # noqa: B018


def test_a_bucket_without_a_store_is_no_store(place: Place) -> None:
    with pytest.raises(NotAStore, match=f"{place.url} is not a Waybill store"):
        move(place.open(), "0" * 40)


# Full.


@pytest.fixture
def small_minio(tmp_path: Path) -> Iterator[Minio | None]:
    """A server whose disk holds 64 MB; None where mounting one is not allowed."""
    private = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    mount = 'mkdir -p "$0" && mount -t tmpfs -o size=64m none "$0" && exec "$@"'
    wrapped = [*private, "bash", "-c", mount]
    allowed = subprocess.run([*wrapped, str(tmp_path / "try"), "true"], check=False).returncode == 0
    if not allowed:
        yield None
        return
    program = tmp_path / "small-minio"
    words = " ".join(f"'{word}'" for word in wrapped)
    program.write_text(
        f'#!/bin/bash\nexec {words} "${{@: -1}}" {needs("WAYBILL_TEST_MINIO")} "$@"\n'
    )
    program.chmod(0o755)
    with minio_server(str(program), tmp_path) as server:
        yield server


def test_a_full_server_shows_nothing_and_takes_what_fits(
    small_minio: Minio | None, minio: Minio, place: Place, credentials: Path
) -> None:
    if small_minio is None:
        full_by_its_word(minio, place)
        return
    write_credentials(credentials, small_minio.access_key, small_minio.secret_key)
    store = connect("s3://bucket/x", Access(endpoint=small_minio.endpoint))
    backend_of(store).client.create_bucket(Bucket="bucket")
    for data in (noise(70_000_000), noise(60_000_000)):
        with pytest.raises(StoreFull, match="s3://bucket/x is full: XMinioStorageFull: "):
            store.upload(blob_of(data), Bytes(data))
        assert_absent(store, blob_of(data))
    store.upload(BLOB, Bytes(DATA))
    store.verify(BLOB)


def full_by_its_word(minio: Minio, place: Place) -> None:
    """The answer that a full server gives, given once by a proxy: then there is room."""
    initialised(place)
    with faulty(minio.endpoint) as faults:
        store = S3Place(place.url, Access(endpoint=faults.endpoint)).open()
        for data in (DATA, noise(PIECE + 1)):
            faults.next(FULL, lambda method, _: method == "PUT")
            with pytest.raises(StoreFull, match="is full: XMinioStorageFull: "):
                store.upload(blob_of(data), Bytes(data))
            assert not store.has(blob_of(data))
            store.upload(blob_of(data), Bytes(data))
            store.verify(blob_of(data))


def test_the_answer_of_a_full_server_is_understood_for_every_write(
    minio: Minio, place: Place
) -> None:
    full_by_its_word(minio, place)


# Without conditional writes.


@pytest.fixture
def careless(place: Place) -> Place:
    """A place whose server never sees a condition: it then behaves as one that knows none."""

    class Careless(Place):
        def open(self) -> Store:
            return stripped(connect(self.url, self.access))

    return Careless(place.url, place.access)


def stripped(store: Store) -> Store:
    def strip(request: Any, **_: object) -> None:
        for name in ("If-Match", "If-None-Match"):
            del request.headers[name]

    backend_of(store).client.meta.events.register("before-sign.s3", strip)
    return store


def test_a_server_without_conditional_writes_is_found_out(careless: Place) -> None:
    store = careless.open()
    assert store.init()["conditionalWrites"] is False
    assert careless.open().facts["conditionalWrites"] is False
    assert keys_below(store, "") == [layout.STORE]
    commit = add(store, b"one")
    with pytest.raises(NoConditionalWrites, match="so moving a ref is not safe") as caught:
        move(store, commit)
    assert "--single-writer" in caught.value.advice
    assert store.head(REPO, MAIN) is None
    alone = stripped(connect(careless.url, careless.access, single_writer=True))
    assert move(alone, commit).commit == store.resolve(REPO, "main") == commit


@pytest.mark.parametrize(
    ("operation", "parameter", "what"),
    [
        ("GetObject", "Range", "ranged reads"),
        ("PutObject", "ChecksumSHA256", "SHA-256 checksums of uploads"),
        ("ListObjectsV2", "ContinuationToken", "listings in pages"),
    ],
)
def test_a_server_that_lacks_more_than_that_becomes_no_store(
    place: Place, operation: str, parameter: str, what: str
) -> None:
    """The server is not told, or not asked: the probe sees what a poorer one would answer."""
    store = connect(place.url, place.access)

    def forget(params: dict[str, Any], **_: object) -> None:
        params.pop(parameter, None)

    def one_page(parsed: dict[str, Any], **_: object) -> None:
        parsed["IsTruncated"] = False
        parsed.pop("NextContinuationToken", None)

    events = backend_of(store).client.meta.events
    if operation == "ListObjectsV2":
        events.register(f"after-call.s3.{operation}", one_page)
    else:
        events.register(f"before-parameter-build.s3.{operation}", forget)
    with pytest.raises(BadValue, match=f"is not usable: it lacks {what}"):
        store.init()
    assert place.open().backend.read(layout.STORE) is None


# Presigned URLs.


def presigned(store: Store) -> str:
    headers = {
        "content-type": "application/octet-stream",
        "content-disposition": "inline; filename*=UTF-8''m%20odel.bin; filename=\"m odel.bin\";",
    }
    url = store.backend.presign(layout.blob(BLOB.digest), 60, headers)
    assert url
    return url


def test_a_presigned_url_is_read_without_credentials(place: Place) -> None:
    store = initialised(place)
    store.upload(BLOB, Bytes(DATA))
    url = presigned(store)
    with httpx.Client(trust_env=False) as client:
        whole = client.get(url)
        assert whole.content == DATA
        assert whole.headers["content-type"] == "application/octet-stream"
        assert whole.headers["content-disposition"].endswith('filename="m odel.bin";')
        part = client.get(url, headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, DATA[5:10])
        assert part.headers["content-range"] == f"bytes 5-9/{len(DATA)}"
        assert client.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")).status_code == 403


def test_a_presigned_url_is_for_the_endpoint_that_clients_see(place: Place) -> None:
    access = Access(endpoint=place.access.endpoint, public_endpoint="https://models.example:9000")
    assert presigned(connect(place.url, access)).startswith("https://models.example:9000/")


def test_a_store_that_goes_away_while_it_is_read_is_unreachable(minio: Minio, place: Place) -> None:
    initialised(place).upload(BLOB, Bytes(DATA))
    with faulty(minio.endpoint) as faults:
        store = S3Place(place.url, Access(endpoint=faults.endpoint)).open()
        assert store.has(BLOB)
        faults.next("close before asking", anything, times=1000)
        for step in (lambda: store.has(BLOB), lambda: store.verify(BLOB), lambda: store.refs()):
            with pytest.raises(StoreUnreachable):
                step()
