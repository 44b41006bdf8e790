"""What a file says, read again when it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from waybill.errors import WaybillError

log = logging.getLogger("waybill.hub")

Value = TypeVar("Value")


class Watched(Generic[Value]):
    """What a file says, read again when it changes; a version that cannot be used is left out."""

    def __init__(self, path: Path, read: Callable[[Path], Value]) -> None:
        self._path, self._read = path, read
        self._seen = self._stamp()
        self._value = read(path)

    def get(self) -> Value:
        if (stamp := self._stamp()) != self._seen:
            self._seen = stamp
            try:
                self._value = self._read(self._path)
                log.info("%s has been read again", self._path)
            except WaybillError as error:
                log.error("%s; what was read before still counts", error)
        return self._value

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_ino, found.st_size)
