"""The contents of a store by their digests, and what else is written there once.

Every byte is compared with its digest before the backend makes it visible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BlobMissing, Corrupt, NotAStore, WaybillError
from waybill.manifest import Descriptor
from waybill.store import layout
from waybill.store.base import Advance, Backend, BytesContent, Content, Stat, no_progress
from waybill.store.recent import Recent


class Blobs:
    """What a store keeps under digests. Cheap to make; nothing is read before it is needed."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.url = backend.url
        self._recent = Recent()

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is here and was checked. Raises Corrupt when its size is wrong."""
        stat = self.backend.stat(layout.blob(blob.digest))
        if stat is None:
            return False
        if stat.size != blob.size or not stat.checked:
            self._verify(blob, stat)
        return True

    def open(self, blob: Descriptor, offset: int = 0, length: int | None = None) -> IO[bytes]:
        """A stream of the blob's bytes, not verified. Raises BlobMissing."""
        wanted = blob.size - offset if length is None else length
        stream = self.backend.open(layout.blob(blob.digest), offset, wanted)
        if stream is None:
            raise self._lacking(blob.digest)
        return stream

    def verify(self, blob: Descriptor, advance: Advance = no_progress) -> None:
        """Read the blob back (deep). Raises BlobMissing or Corrupt."""
        stat = self.backend.stat(layout.blob(blob.digest))
        if stat is None:
            raise self._lacking(blob.digest)
        self._verify(blob, stat, advance)

    def _verify(self, blob: Descriptor, stat: Stat, advance: Advance = no_progress) -> None:
        name = self._name(blob.digest)
        digests.check(blob.digest, blob.size, blob.digest, stat.size, name)
        with self.open(blob) as stream:
            for chunk in digests.verified(stream, blob.digest, blob.size, name):
                advance(len(chunk))

    def upload(
        self,
        blob: Descriptor,
        content: Content,
        advance: Advance = no_progress,
        replace: bool = False,
        blame: Callable[[Corrupt], WaybillError] = lambda error: error,
    ) -> None:
        """Write a blob, checked, unless it is here; with `replace` even then.

        Raises StoreFull; Corrupt for what another writer left here, and for a content that is not
        the blob, which `blame` puts into its own words.
        """
        what, key = f"the content of {blob.digest}", layout.blob(blob.digest)
        try:
            digests.check(blob.digest, blob.size, blob.digest, content.size, what)
            written = self.backend.upload(key, blob, content, advance, replace)
        except Corrupt as error:
            raise blame(error) from error
        if not written:
            self.has(blob)

    def copy(self, blob: Descriptor, origin: Blobs, advance: Advance = no_progress) -> bool:
        """Have the server bring a blob from another store of its own; False when it cannot."""
        return self.backend.copy(layout.blob(blob.digest), blob, origin.backend, advance)

    def read(self, digest: Digest) -> bytes:
        """A small blob, whole and verified; what this process read lately is not asked for again.

        Raises BlobMissing or Corrupt.
        """
        if known := self._recent.get(digest):
            return known
        data = self.backend.read(layout.blob(digest))
        if data is None:
            raise self._lacking(digest)
        if digests.of(data) != digest:
            raise Corrupt(what=self._name(digest), expected=digest, found=digests.of(data))
        self._recent.keep(digest, data)
        return data

    def write(self, data: bytes, media_type: str) -> Descriptor:
        """Write a small blob unless it is here. Raises Corrupt for what is here and is not that."""
        blob = Descriptor.of(data, media_type)
        key = layout.blob(blob.digest)
        if (found := self.backend.read(key)) is None:
            self.upload(blob, BytesContent(data))
        else:
            self.compare(key, data, found)
        return blob

    def keep(self, key: str, data: bytes) -> None:
        """Write what never changes, unless it is here. Raises Corrupt as `write` does."""
        if not self.backend.create(key, data):
            self.compare(key, data, self.backend.read(key))

    def compare(self, key: str, data: bytes, found: bytes | None) -> None:
        """Raises Corrupt where `key` holds something else. What is gone again was pruned, which
        those find who keep it from that."""
        if found not in (data, None):
            what = f"{key} in {self.url}"
            raise Corrupt(what=what, expected=digests.of(data), found=digests.of(found or b""))

    def _name(self, digest: Digest) -> str:
        return f"{digest} in {self.url}"

    def _lacking(self, digest: Digest) -> NotAStore | BlobMissing:
        if self.backend.read(layout.STORE) is None:
            return NotAStore(url=self.url)
        return BlobMissing(url=self.url, digest=digest, needed_by="the reader")
