"""Layers that are tar archives: listed and checked in one pass, their files read in another.

Neither pass needs scratch. A file of a plain archive is a range of the layer. What is compressed
is read forward: in the order of the archive that is one pass, and files are nearly in it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Self

from waybill import digest as digests
from waybill.digest import CHUNK, Digest
from waybill.errors import Corrupt, NotAModel, SourceCorrupt, SourceUnreachable, UnsafePath
from waybill.manifest import MAX_FILES, safe_path
from waybill.source.streams import skip

_DAMAGED = (zlib.error, gzip.BadGzipFile, EOFError)
_MALFORMED = (*_DAMAGED, tarfile.TarError, ValueError, OverflowError)


@dataclass(frozen=True)
class Member:
    """A file of an archive: `at` is the byte of the unpacked layer that it begins at."""

    path: str
    at: int
    size: int
    digest: Digest


class StrictInfo(tarfile.TarInfo):
    """A member's header. tarfile takes a damaged one, but for the first, for the archive's end, and
    what comes after it would be missed without a word.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # Zeros are the end (POSIX.1-2017, pax, ustar Interchange Format).
            if any(buf):
                raise tarfile.ReadError(str(error)) from error
            raise


def unpacked(stream: IO[bytes], compressed: bool) -> IO[bytes]:
    """The archive itself."""
    return gzip.GzipFile(fileobj=stream) if compressed else stream  # type: ignore[return-value]


def members(
    stream: IO[bytes], digest: Digest, size: int, compressed: bool, where: str
) -> list[Member]:
    """The archive's files, after all of the layer was read and checked.

    Raises SourceCorrupt, NotAModel for what is no archive, UnsafePath for what is no plain file.
    """
    raw = _Hashed(stream)
    hashed: IO[bytes] = raw  # type: ignore[assignment]
    try:
        archive = unpacked(hashed, compressed)
        with tarfile.open(None, "r|", archive, CHUNK, tarinfo=StrictInfo) as tar:
            found = list(_members(tar, where))
    except _MALFORMED as error:
        # Damaged on the way, or made so: the digest tells.
        raw.finish(digest, size, where)
        raise NotAModel(source=where, why=f"it is no tar archive ({error})") from error
    raw.finish(digest, size, where)
    return found


def _members(tar: tarfile.TarFile, where: str) -> Iterator[Member]:
    count = 0
    for info in tar:
        if info.isdir():
            continue
        path = safe_path(info.name.removeprefix("./"), where)
        content = tar.extractfile(info) if info.isreg() and not info.issparse() else None
        if content is None:
            raise UnsafePath(path=path, where=where, why="it is not a regular file")
        if (count := count + 1) > MAX_FILES:
            raise NotAModel(source=where, why=f"it has more than {MAX_FILES:,} files")
        sha = hashlib.sha256()
        for chunk in digests.chunks(content):
            sha.update(chunk)
        yield Member(path, info.offset_data, info.size, digests.from_hex(sha.hexdigest()))


class _Hashed(io.RawIOBase):
    """Passes a stream on and keeps its digest."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._sha, self._count = stream, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._sha.update(data)
        self._count += len(data)
        return data

    def finish(self, digest: Digest, size: int, what: str) -> None:
        """Read what is left. Raises SourceCorrupt."""
        while self.read(CHUNK):
            pass
        found = digests.from_hex(self._sha.hexdigest())
        try:
            digests.check(digest, size, found, self._count, what)
        except Corrupt as error:
            raise SourceCorrupt(**error.facts) from error


class Forward:
    """A compressed layer, read forward; it begins anew when asked for what has passed.

    Threads may share it: each read gives what it asked for, and at worst fetches much anew.
    """

    def __init__(self, open_layer: Callable[[], IO[bytes]], where: str) -> None:
        """`where` names it in messages."""
        self._open_layer, self._where = open_layer, where
        self._lock = threading.RLock()
        self._raw: IO[bytes] | None = None
        self._stream: IO[bytes] = io.BytesIO()
        self._at = 0

    def read(self, at: int, size: int) -> bytes:
        """Up to `size` unpacked bytes from byte `at` on. Raises SourceUnreachable."""
        with self._lock:
            try:
                return self._read(at, size)
            except _DAMAGED as error:
                # It was whole when its files were listed.
                why = f"it came damaged ({error})"
                raise SourceUnreachable(source=self._where, why=why) from error

    def _read(self, at: int, size: int) -> bytes:
        if self._raw is None or at < self._at:
            self.close()
            self._raw = self._open_layer()
            self._stream, self._at = unpacked(self._raw, True), 0
        try:
            skip(self._stream, at - self._at)
            data = self._stream.read(size)
        except BaseException:
            # Nobody knows how far it came.
            self.close()
            raise
        self._at = at + len(data)
        return data

    def close(self) -> None:
        with self._lock:
            if self._raw is not None:
                self._raw.close()
                self._raw = None


class Window(io.RawIOBase):
    """`size` bytes of a layer from `at` on, as a stream of its own."""

    def __init__(self, layer: Forward, at: int, size: int) -> None:
        self._layer, self._at, self._end = layer, at, at + size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        data = self._layer.read(self._at, left if size < 0 else min(size, left)) if left else b""
        self._at += len(data)
        return data
