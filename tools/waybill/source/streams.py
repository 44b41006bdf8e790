"""Streams over a network: short answers and broken connections are gone on with."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TypeVar

from waybill.digest import CHUNK
from waybill.errors import SourceUnreachable

ASKING = (0.5, 1.0, 2.0)
READING = (*ASKING, 4.0, 8.0, 15.0)
"""Seconds before each further try, while nothing comes. An answer somebody waits for; a stream may
have run for hours, and a server that is started again is back soon. What a try itself waits for
comes on top."""

Result = TypeVar("Result")


def patiently(
    work: Callable[[], Result],
    pauses: Sequence[float] | None = None,
    come: Callable[[], int] = lambda: 0,
) -> Result:
    """The result of `work`; what could not be reached is asked again. Raises SourceUnreachable.

    Where more bytes have `come` than ever, the pauses begin anew.
    """
    pauses = ASKING if pauses is None else pauses
    left, most = iter(pauses), come()
    while True:
        try:
            return work()
        except SourceUnreachable:
            if come() > most:
                left, most = iter(pauses), come()
            pause = next(left, None)
            if pause is None:
                raise
            time.sleep(pause)


def resumed(
    open_at: Callable[[int], IO[bytes]], offset: int, size: int, source: object
) -> IO[bytes]:
    """Bytes `offset` to `size` of what `open_at` opens at any offset, tried again where it breaks.

    Reading raises SourceUnreachable once nothing comes in several tries.
    """
    return io.BufferedReader(_Resumed(open_at, offset, size, source), CHUNK)


class _Resumed(io.RawIOBase):
    def __init__(
        self, open_at: Callable[[int], IO[bytes]], offset: int, size: int, source: object
    ) -> None:
        self._open_at, self._at, self._size, self._source = open_at, offset, size, source
        self._stream: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        data = patiently(lambda: self._read(wanted), READING)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, size: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = self._open_at(self._at)
            if data := self._stream.read(size):
                return data
            raise SourceUnreachable(source=self._source, why=f"it ends after {self._at} bytes")
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        self._disconnect()
        super().close()


class Chunked(io.RawIOBase):
    """An iterator of chunks as a stream; `end` is called when it is closed.

    It gives what is there: a buffer that waits for more would lose it when the line breaks.
    """

    def __init__(self, chunks: Iterator[bytes], end: Callable[[], None]) -> None:
        self._chunks, self._end = filter(None, chunks), end
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._end()
        super().close()


def skip(stream: IO[bytes], count: int) -> None:
    """Read and forget `count` bytes, or all that are left."""
    while count > 0 and (data := stream.read(min(CHUNK, count))):
        count -= len(data)
