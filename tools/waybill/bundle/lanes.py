"""Several cores over one stream: each chunk goes through every lane, in order within a lane."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from waybill import digest as digests
from waybill.digest import PIECE, Digest
from waybill.manifest import TEXT_LIMIT, git_blob_hasher

_DEPTH = 8
"""Chunks under way, of 1 MiB each: enough to keep lanes busy, few enough for a core's cache."""
HASHES = 256
"""Files whose hashes are kept until lanes are waited for: each takes as much memory as its path,
sizes and digests together, and waiting after each would keep lanes idle."""
_GIT_WINDOW = 8000
"""Git calls a file binary when a NUL is in its first 8,000 bytes."""

Job = tuple[Callable[[bytes], Any], bytes]


class Lanes:
    """`count` threads. hashlib and file writes release the interpreter's lock."""

    def __init__(self, count: int) -> None:
        self._pools = [ThreadPoolExecutor(1) for _ in range(count)]
        self._flying: deque[list[Future[Any]]] = deque()

    def run(self, *jobs: Job) -> None:
        """Job n goes to lane n; waits while too much is under way."""
        futures = [
            pool.submit(function, data)
            for pool, (function, data) in zip(self._pools, jobs, strict=False)
        ]
        self._flying.append(futures)
        if len(self._flying) > _DEPTH:
            self._wait_one()

    def drain(self) -> None:
        """Wait for all; raise the first error."""
        while self._flying:
            self._wait_one()

    def _wait_one(self) -> None:
        for future in self._flying.popleft():
            future.result()

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)


class FileHash:
    """Whole digest, digests of 64 MiB pieces and git blob id of one file of known size.

    Pieces cost another SHA-256 of each byte, so they are for those who sign them.
    """

    def __init__(self, size: int, *, with_pieces: bool = False) -> None:
        self.size, self.seen = size, 0
        self._with_pieces = with_pieces and size > PIECE
        self._whole = hashlib.sha256()
        self._git = git_blob_hasher(size) if size <= TEXT_LIMIT else None
        self._binary = False
        self._piece, self._in_piece = hashlib.sha256(), 0
        self._pieces: list[Digest] = []

    def jobs(self, data: bytes) -> list[Job]:
        """What is to be done with the file's next bytes, each in a lane of its own."""
        pieces = [(self.update_pieces, data)] if self._with_pieces else []
        return [(self.update_whole, data), *pieces]

    def update_whole(self, data: bytes) -> None:
        if self.seen < _GIT_WINDOW and 0 in data[: _GIT_WINDOW - self.seen]:
            self._binary = True
        self._whole.update(data)
        if self._git:
            self._git.update(data)
        self.seen += len(data)

    def update_pieces(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            part = view[: PIECE - self._in_piece]
            self._piece.update(part)
            self._in_piece += len(part)
            if self._in_piece == PIECE:
                self._end_piece()
            view = view[len(part) :]

    def _end_piece(self) -> None:
        self._pieces.append(digests.from_hex(self._piece.hexdigest()))
        self._piece, self._in_piece = hashlib.sha256(), 0

    @property
    def is_whole(self) -> bool:
        return self.seen == self.size

    @property
    def digest(self) -> Digest:
        return digests.from_hex(self._whole.hexdigest())

    @property
    def pieces(self) -> tuple[Digest, ...]:
        """Empty for files of one piece."""
        if self._in_piece:
            self._end_piece()
        return tuple(self._pieces)

    @property
    def git_oid(self) -> str | None:
        """The git blob id of a small text file, else None."""
        return None if self._binary else self.git_blob

    @property
    def git_blob(self) -> str | None:
        """The git blob id of a small file, else None."""
        return self._git.hexdigest() if self._git else None
