"""A file that is written past the page cache: the disk works beside the processors.

Parts are written once and not read again here, so a copy in the page cache costs a core's time and
pushes out what others read. Where a file system has no direct writes, they are ordinary ones.
"""

from __future__ import annotations

import errno
import fcntl
import os
from concurrent.futures import Future, ThreadPoolExecutor
from mmap import mmap
from pathlib import Path

from waybill.digest import CHUNK, PIECE
from waybill.errors import MediaFull, Unwritable
from waybill.store.base import FULL

_DIRECT = getattr(os, "O_DIRECT", 0)


class BlockFile:
    """A new file, written from one thread in the order of its bytes.

    Every method raises OSError, also for what was written before.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path)
        # Direct writes begin and end at a disk's sectors, in the file and in memory: a chunk is
        # many sectors, and a map begins at a page.
        self._filling, self._spare = mmap(-1, CHUNK), mmap(-1, CHUNK)
        self._filled = 0
        self._disk = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        """All of it; on return it is in memory or further on."""
        view = memoryview(data)
        while view:
            part = view[: CHUNK - self._filled]
            self._filling[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == CHUNK:
                self._begin()

    def sync(self) -> None:
        """The end of the file: on return all of it is on disk."""
        self._wait()
        _end_direct(self._file)
        _write(self._file, memoryview(self._filling)[: self._filled])
        os.fsync(self._file)

    def close(self) -> None:
        self._disk.shutdown()
        os.close(self._file)

    def _begin(self) -> None:
        """Hand over what is full, once what was handed over before is written."""
        self._wait()
        self._writing = self._disk.submit(self._to_disk, memoryview(self._filling))
        self._filling, self._spare = self._spare, self._filling
        self._filled = 0

    def _wait(self) -> None:
        if self._writing:
            self._writing.result()

    def _to_disk(self, chunk: memoryview) -> None:
        _write(self._file, chunk)
        self._unsynced += len(chunk)
        if self._unsynced >= PIECE:
            # Steadily, so that the end of a part does not wait for all of it where writes are
            # ordinary ones.
            os.fdatasync(self._file)
            self._unsynced = 0


def unwritten(path: Path, needed: str, error: OSError) -> MediaFull | Unwritable:
    """What to say when a file could not be written, of which this much was needed."""
    if error.errno in FULL:
        return MediaFull(where=path.parent, needed=needed, free=f"none ({error.strerror})")
    return Unwritable(path=path, why=error.strerror)


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        return os.open(path, flags | _DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags, 0o666)


def _write(file: int, data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(file, data) :]
        except OSError as error:
            if error.errno != errno.EINVAL or not _end_direct(file):
                raise


def _end_direct(file: int) -> bool:
    """Whether writes were direct until now."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    fcntl.fcntl(file, fcntl.F_SETFL, flags & ~_DIRECT)
    return bool(flags & _DIRECT)
