"""A small model as an image: an artifact of its files, or a data image that nodes mount.

Small, because a node pulls and unpacks an image whole: a large model belongs into the store,
which engines read from in pieces, and several at once.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from waybill import digest as digests
from waybill.bundle.cargo import Cargo
from waybill.bundle.format import TAR_END, Revision, member_header, padding
from waybill.deliver.images.choices import LIMIT, Form
from waybill.errors import ModelTooLarge
from waybill.manifest import (
    CONFIG_TYPE,
    DATA_LAYER,
    MANIFEST_TYPE,
    Descriptor,
    File,
    canonical,
)
from waybill.source.images import Image
from waybill.source.reference import PLATFORM
from waybill.source.streams import Chunked
from waybill.source.uploads import Uploads
from waybill.store.base import Advance, BytesContent, Content, no_progress
from waybill.store.layout import RepoId

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class ModelImage:
    """An image and where the bytes of its blobs are."""

    image: Image
    content: Callable[[Descriptor], Content]

    def push(self, repository: Uploads, tag: str, advance: Advance = no_progress) -> int:
        """Bytes that were sent. Raises Corrupt, RegistryUnreachable, RegistryRefused."""
        sent = 0
        for blob in self.image.blobs:
            if not repository.has(blob.digest):
                repository.upload(blob, self.content(blob), advance)
                sent += blob.size
        repository.put_manifest(self.image.manifest, self.image.descriptor.media_type, tag)
        return sent


def made_of(
    cargo: Cargo,
    name: str,
    form: Form,
    *,
    limit: int = LIMIT,
    platform: str = PLATFORM,
    advance: Advance = no_progress,
) -> ModelImage:
    """The one model of the cargo under this name; a data image is read once to know its digest.

    Raises ModelTooLarge, Corrupt, and what the cargo cannot be read for.
    """
    (revision,) = cargo.revisions
    require_small(revision.repo, revision.manifest.size, limit)
    if form is Form.ARTIFACT:
        return _artifact(cargo, revision, name)
    return _data_image(cargo, revision, name, platform, advance)


def require_small(repo: RepoId, size: int, limit: int) -> None:
    """Raises ModelTooLarge."""
    if size > limit:
        raise ModelTooLarge(model=str(repo), size=f"{size:,}", limit=f"{limit:,}")


def _artifact(cargo: Cargo, revision: Revision, name: str) -> ModelImage:
    """The manifest is the model's own: its digest is the one that is pinned."""
    manifest = revision.manifest
    config = Descriptor.of(manifest.config, CONFIG_TYPE)

    def content(blob: Descriptor) -> Content:
        own = blob.digest == config.digest
        return BytesContent(manifest.config) if own else cargo.content(blob.digest)

    return ModelImage(Image.parse(name, manifest.data), content)


def _data_image(
    cargo: Cargo, revision: Revision, name: str, platform: str, advance: Advance
) -> ModelImage:
    layer = _Tar([(file, cargo.content(file.digest)) for file in revision.manifest.files])
    told = Descriptor(_LAYER, layer.digest(advance), layer.size)
    system, _, machine = platform.partition("/")
    contents = {"type": "layers", "diff_ids": [told.digest]}
    config = canonical({"architecture": machine, "os": system, "rootfs": contents, "config": {}})
    notes = {
        "org.opencontainers.image.title": str(revision.repo),
        "org.opencontainers.image.revision": revision.manifest.commit,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": Descriptor.of(config, _CONFIG).as_json(),
        "layers": [{**told.as_json(), "annotations": {DATA_LAYER: "true"}}],
        "annotations": notes,
    }

    def content(blob: Descriptor) -> Content:
        return layer if blob.digest == told.digest else BytesContent(config)

    return ModelImage(Image.parse(name, canonical(manifest)), content)


@dataclass(frozen=True)
class _Tar:
    """Files as a tar archive that is made while it is read (a `store.base.Content`)."""

    files: Sequence[tuple[File, Content]]
    pieces: None = None
    rereadable: bool = False

    @property
    def size(self) -> int:
        return sum(content.size for _, content in self._spans()) + TAR_END

    def _spans(self) -> Iterator[tuple[File | None, Content]]:
        """Headers, files and paddings in their order, but for the end of the archive."""
        for file, content in self.files:
            yield None, BytesContent(member_header(file.path, file.size))
            yield file, content
            yield None, BytesContent(bytes(padding(file.size)))

    def digest(self, advance: Advance) -> digests.Digest:
        """Of all of it; each file is checked. Raises Corrupt."""
        sha = hashlib.sha256()
        for file, content in self._spans():
            with content.open(0, content.size) as stream:
                chunks = digests.chunks(stream)
                if file:
                    chunks = digests.verified(stream, file.digest, file.size, file.path)
                for chunk in chunks:
                    sha.update(chunk)
                    advance(len(chunk))
        sha.update(bytes(TAR_END))
        return digests.from_hex(sha.hexdigest())

    def open(self, offset: int, length: int) -> IO[bytes]:
        chunks = Chunked(self._chunks(offset, length), lambda: None)
        return io.BufferedReader(chunks, digests.CHUNK)

    def _chunks(self, offset: int, length: int) -> Iterator[bytes]:
        at, end = 0, offset + length
        for _, content in (*self._spans(), (None, BytesContent(bytes(TAR_END)))):
            first, last = max(offset, at) - at, min(end, at + content.size) - at
            if first < last:
                with content.open(first, last - first) as stream:
                    yield from digests.chunks(stream)
            at += content.size
