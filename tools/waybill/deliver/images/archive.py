"""An OCI archive as a stream: what containerd imports, and Docker and podman load."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from waybill import digest as digests
from waybill.bundle.format import TAR_END, member_header, padding
from waybill.bundle.images import LAYOUT, layout_index
from waybill.manifest import Descriptor
from waybill.source.images import Image
from waybill.store.base import Content

Contents = Callable[[Descriptor], Content]


@dataclass(frozen=True)
class Archive:
    """Images with their names as they should be there; `blobs` in the order they are sent in."""

    images: Sequence[Image]
    blobs: Sequence[Descriptor]
    content: Contents

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the tar, each blob checked at its end. Raises Corrupt, PartMissing."""
        for name, data in self._small():
            yield member_header(name, len(data)) + data + bytes(padding(len(data)))
        for blob in self.blobs:
            yield member_header(_path(blob), blob.size)
            with self.content(blob).open(0, blob.size) as stream:
                what = f"the blob {blob.digest}"
                yield from digests.verified(stream, blob.digest, blob.size, what)
            yield bytes(padding(blob.size))
        yield bytes(TAR_END)

    def _small(self) -> Iterator[tuple[str, bytes]]:
        yield "oci-layout", LAYOUT
        yield "index.json", layout_index(self.images)
        # What Docker reads that keeps images in its own way; podman and containerd pass it by.
        yield "manifest.json", json.dumps([_docker(one) for one in self.images]).encode()
        for digest, data in {one.descriptor: one.manifest for one in self.images}.items():
            yield _path(digest), data


def _docker(image: Image) -> dict[str, object]:
    layers = [_path(layer) for layer in image.layers]
    return {"Config": _path(image.config), "RepoTags": [image.name], "Layers": layers}


def _path(blob: Descriptor) -> str:
    return f"blobs/sha256/{digests.hex_of(blob.digest)}"
