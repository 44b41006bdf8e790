"""A lock file that is there only while it is held."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock. Raises BlockingIOError when another process has it and `wait` is false."""
    stream = _lock(path, wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        stream.close()


def _lock(path: Path, wait: bool) -> IO[bytes]:
    while True:
        stream = path.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if same_file(stream, path):
                return stream
        except BaseException:
            stream.close()
            raise
        # Its last holder removed it before we had it.
        stream.close()


def same_file(stream: IO[bytes], path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
