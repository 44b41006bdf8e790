"""Contents that count what is read of them, and fail as real sources do."""

import io
import random
import threading
from collections.abc import Sequence
from functools import cache
from typing import IO, Any

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import SourceUnreachable
from waybill.manifest import Descriptor


@cache
def noise(size: int, seed: int = 0) -> bytes:
    """The same bytes for the same arguments, in every process."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - not a secret


def blob_of(data: bytes) -> Descriptor:
    return Descriptor.of(data, "application/octet-stream")


def pieces_of(data: bytes) -> list[Digest]:
    spans = digests.piece_spans(len(data))
    return [digests.of(data[at : at + length]) for at, length in spans]


class Bytes:
    """A content of `data` that says it has `size` bytes, and breaks at the offset `breaks`."""

    def __init__(
        self,
        data: bytes,
        *,
        size: int | None = None,
        rereadable: bool = True,
        pieces: Sequence[Digest] | None = None,
        breaks: int | None = None,
    ) -> None:
        self.data, self.size = data, len(data) if size is None else size
        self.rereadable, self.pieces, self.breaks = rereadable, pieces, breaks
        self.read = 0
        self._lock = threading.Lock()

    def open(self, offset: int, length: int) -> IO[bytes]:
        return _Stream(self, offset, length)  # type: ignore[return-value]

    def taken(self, at: int, size: int) -> bytes:
        if self.breaks is not None and at + size > self.breaks:
            raise SourceUnreachable(source="the source", why="the cable was pulled")
        data = self.data[at : at + size]
        with self._lock:
            self.read += len(data)
        return data


class _Stream(io.RawIOBase):
    """Gives at most 300,000 bytes at once, as sockets and pipes do."""

    def __init__(self, content: Bytes, offset: int, length: int) -> None:
        self._content, self._at, self._end = content, offset, offset + length

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        data = self._content.taken(self._at, min(left if size < 0 else size, left, 300_000))
        self._at += len(data)
        return data


class Changing(Bytes):
    """A file that is written to after it was opened for the first time at each place."""

    def __init__(self, data: bytes, later: bytes, **options: Any) -> None:
        super().__init__(data, **options)
        self._now, self._later, self._seen = data, later, set[int]()

    def open(self, offset: int, length: int) -> IO[bytes]:
        changed = offset in self._seen
        self._seen.add(offset)
        stream = Bytes(self._later if changed else self._now)
        return stream.open(offset, length)
