"""The small blobs that a process read last, so that one decision reads each of them once.

A digest has one content. Whether that is still there has to be asked of the store.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from waybill.digest import Digest

ROOM = 8 << 20
"""Bytes kept at most: some manifests of 10,000 files, or thousands of statements."""


class Recent:
    """Digest -> content, shared by threads; the one not used for longest goes first."""

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._held = room, 0
        self._kept: OrderedDict[Digest, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: Digest) -> bytes | None:
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
            return self._kept.get(digest)

    def keep(self, digest: Digest, data: bytes) -> None:
        with self._lock:
            self._held += len(data) - len(self._kept.pop(digest, b""))
            self._kept[digest] = data
            while self._held > self._room:
                _, oldest = self._kept.popitem(last=False)
                self._held -= len(oldest)
