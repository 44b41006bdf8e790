"""What does not fit is refused before its first byte; what is sent keeps to its rate."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from waybill.errors import Corrupt, StoreTooSmall
from waybill.manifest import Descriptor
from waybill.store import filesystem
from waybill.store.base import BytesContent, no_progress
from waybill.store.filesystem import FilesystemBackend
from waybill.store.pace import LEAST, Paced
from waybill.store.s3_upload import Target, put
from waybill.store.sizes import parse_size
from waybill.store.store import Store

BLOB = Descriptor.of(b"x" * 1000, "text/plain")


def store_of(folder: Path, capacity: int | None = None) -> Store:
    store = Store(FilesystemBackend(folder), capacity=capacity)
    store.init()
    return store


def disk_with(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def begin_upload(store: Store, folder: Path) -> None:
    """Leave 400 bytes of the blob, as a writer that was killed."""

    def die(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.upload(BLOB, BytesContent(b"x" * 1000), die)
    (partial,) = (folder / "uploads").iterdir()
    partial.write_bytes(b"x" * 400)


def test_a_directory_knows_how_much_its_disk_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    disk_with(monkeypatch, 1000)
    store.require_room([BLOB])
    disk_with(monkeypatch, 999)
    with pytest.raises(StoreTooSmall, match="has room for 999 bytes, and 1,000 are to be"):
        store.require_room([BLOB])


def test_what_an_unfinished_upload_holds_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_upload(store_of(tmp_path), tmp_path)
    disk_with(monkeypatch, 600)
    store_of(tmp_path).require_room([BLOB])
    store_of(tmp_path, 1000).require_room([BLOB])


def test_an_upload_that_another_writer_has_just_finished_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    gone = tmp_path / "uploads" / f"{BLOB.digest.removeprefix('sha256:')}-0123"
    monkeypatch.setattr(filesystem, "_files_below", lambda _: iter([gone]))
    store.require_room([BLOB])


def test_a_capacity_counts_what_is_there(tmp_path: Path) -> None:
    other = b"y" * 500
    store_of(tmp_path).upload(Descriptor.of(other, "text/plain"), BytesContent(other))
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found" / "of others").write_bytes(b"z" * 300)
    used = 500
    store_of(tmp_path, used + 1000).require_room([BLOB])
    with pytest.raises(StoreTooSmall, match="room for 999 bytes"):
        store_of(tmp_path, used + 999).require_room([BLOB])
    with pytest.raises(StoreTooSmall, match="room for 0 bytes"):
        store_of(tmp_path, used - 1).require_room([BLOB])


def test_a_rate_holds_for_all_senders_together() -> None:
    paced = Paced(no_progress, 1_000_000)
    began = time.monotonic()
    senders = [threading.Thread(target=paced, args=(50_000,)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert time.monotonic() - began >= 0.2


def test_no_connection_to_s3_waits_long_at_the_lowest_rate() -> None:
    """Seven send at once: four blobs, and of a large one four parts instead of itself."""
    told: list[int] = []
    data = b"x" * (1 << 20)

    def read(Body: Any, **_: object) -> None:  # noqa: N803 - as boto3 has it
        while Body.read(16384):
            pass

    client: Any = SimpleNamespace(put_object=read)
    with ThreadPoolExecutor(1) as pool:
        target = Target(client, "bucket", "key", pool)
        put(target, Descriptor.of(data, "text/plain"), BytesContent(data), told.append)
    assert sum(told) == len(data) and 7 * max(told) / LEAST < 20


def test_what_was_there_already_is_not_held_up() -> None:
    told: list[int] = []
    Paced(told.append, 1)(64 << 20)
    assert told == [64 << 20]


def test_a_stop_reaches_through_the_rate() -> None:
    def stop(_: int) -> None:
        raise Corrupt(what="a test", expected="a", found="b")

    with pytest.raises(Corrupt):
        Paced(stop, 1)(1000)


def test_sizes() -> None:
    assert parse_size("1.5GiB") == 3 << 29
    with pytest.raises(ValueError, match="is not a size such as 4GB"):
        parse_size("much")
