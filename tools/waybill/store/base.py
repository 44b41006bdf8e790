"""What a storage backend must do, and the contents that are written to it.

Backends know keys and bytes; `waybill.store.store.Store` knows repos, revisions and refs.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from waybill.digest import Digest
from waybill.manifest import Descriptor

Advance = Callable[[int], None]
"""Told how many further bytes are done; may raise Interrupted to stop the work."""


def no_progress(_: int) -> None:
    """An Advance that tells nobody."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room."""


def again(advance: Advance) -> Advance:
    """For work done over, which was counted the first time: it can still be stopped."""
    return lambda _: advance(0)


@dataclass(frozen=True)
class Stat:
    """One stored object. `checked`: Waybill verified the bytes when it wrote them.

    `modified`: when it was written, in seconds since the epoch by the server's clock.
    """

    key: str
    size: int
    checked: bool = True
    modified: float = 0.0


class Content(Protocol):
    """Bytes of known size that can be opened at any offset, as often as needed.

    `pieces` are the digests of each 64 MiB where whom we trust has signed that these make up the
    blob, so that it is enough to check them; else None.
    `rereadable`: reading a piece a second time, soon after the first, costs next to nothing.
    Streams raise WaybillErrors that name the origin; an OSError would be put down to the store.
    """

    @property
    def size(self) -> int: ...
    @property
    def pieces(self) -> Sequence[Digest] | None: ...
    @property
    def rereadable(self) -> bool: ...
    def open(self, offset: int, length: int) -> IO[bytes]: ...


class Backend(Protocol):
    """Keys and bytes. Every method may raise StoreUnreachable, AccessDenied or StoreFull."""

    url: str
    in_place: bool
    """Whether what replaces an object needs no room beside it, until it is whole."""

    @property
    def place(self) -> str:
        """The URL, and its server where the URL does not name it: of no other store the same."""

    def loading(self) -> AbstractContextManager[None]:
        """Meanwhile, who reads waits for a server that is away as long as who writes does."""

    def stat(self, key: str) -> Stat | None:
        """None when there is no such key."""

    def read(self, key: str) -> bytes | None:
        """A small object, whole; None when there is no such key."""

    def open(self, key: str, offset: int, length: int) -> IO[bytes] | None:
        """A stream of `length` bytes from `offset`; None when there is no such key."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object unless the key exists; False when it does. Atomic."""

    def replace(self, key: str, data: bytes, expected: bytes | None) -> bool:
        """Compare-and-swap: write only while the key holds `expected` (None: nothing)."""

    def upload(
        self,
        key: str,
        blob: Descriptor,
        content: Content,
        advance: Advance,
        replace: bool = False,
    ) -> bool:
        """Write a blob, visible only once every byte was checked. Raises Corrupt.

        Goes on where an earlier upload of the same blob stopped. False when another writer's
        object is there meanwhile: it is left as it is, and was not looked at. With `replace` it
        takes the place of one that was found to be damaged.
        """

    def copy(self, key: str, blob: Descriptor, origin: Backend, advance: Advance) -> bool:
        """Let the server take a checked blob over from another store of its own, checked.

        False when it cannot: the blob is to be uploaded then.
        """

    def delete(self, key: str, until: float) -> bool:
        """Remove an object, but never after `until`, however long the request was on its way.

        `until` is a moment by the server's clock. False when a writer has the object open.
        Raises PruneHeldUp when the moment has passed.
        """

    def now(self) -> float:
        """Seconds since the epoch by the server's clock, which dates what is written."""

    def list(self, prefix: str) -> Iterator[Stat]:
        """Every object whose key starts with `prefix`, in key order."""

    def room(self, blobs: Sequence[Descriptor]) -> int | None:
        """Bytes that fit, and those that unfinished uploads of `blobs` hold; None: not told."""

    def probe(self) -> bool:
        """Whether the server keeps its promises about conditional writes.

        Raises BadValue when it lacks something that no store can do without.
        """

    def local_path(self, key: str) -> Path | None:
        """The file behind a key, where there is one."""

    def presign(
        self, key: str, expires: int, headers: dict[str, str], inside: bool = False
    ) -> str | None:
        """A URL that reads the key for `expires` seconds without credentials, where possible.

        `headers` are response headers: content-type and content-disposition. `inside`: for a
        client that reaches the server where we do, not where the public does.
        """


@dataclass(frozen=True)
class BytesContent:
    """Content that is in memory."""

    data: bytes
    pieces: None = None
    rereadable: bool = True

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self, offset: int, length: int) -> IO[bytes]:
        return io.BytesIO(self.data[offset : offset + length])


class Limited(io.RawIOBase):
    """The next `length` bytes of a stream, as a stream of its own; closing it closes both."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream, self._left = stream, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        want = self._left if size < 0 else min(size, self._left)
        data = self._stream.read(want) if want else b""
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()
