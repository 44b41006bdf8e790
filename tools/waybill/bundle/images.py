"""Saving: images, and files beside them, into a bundle that may hold models already.

What is written is an OCI image layout, so that it can be restored and read without Waybill.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO

from waybill import digest as digests
from waybill.bundle.base import Base
from waybill.bundle.cut import PART_SIZE, cut
from waybill.bundle.format import INDEX, Blob, Index, Revision
from waybill.bundle.journal import Journal
from waybill.bundle.media import Bundle
from waybill.bundle.stack import Stack
from waybill.bundle.writing import Writing
from waybill.digest import Digest
from waybill.manifest import Descriptor, File, canonical
from waybill.sign.keys import Signer
from waybill.source.base import Origin, SourceFile
from waybill.source.images import NAME, REF_NAME, Image, Images
from waybill.source.reference import Reference
from waybill.store.base import Advance, no_progress

FOLDER = "images"
"""Where the layout is restored to."""
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def layout_index(images: Sequence[Image]) -> bytes:
    """The index.json of a layout: images by whole names, as containerd and skopeo read them."""
    manifests = [
        {**one.descriptor.as_json(), "annotations": {NAME: one.name, REF_NAME: one.name}}
        for one in images
    ]
    kind = "application/vnd.oci.image.index.v1+json"
    value = {"schemaVersion": 2, "mediaType": kind, "manifests": manifests}
    return canonical(value)


@dataclass(frozen=True)
class StackSource:
    """The files of a layout and those beside it, as a source (`source.base.Source`).

    `small` are those that are in memory, by path: what is not a layer or a config.
    """

    images: Images
    wanted: Mapping[Reference, Image]
    small: Mapping[str, bytes]
    local: bool = False

    def __str__(self) -> str:
        return f"{len(self.wanted)} images"

    @property
    def origin(self) -> Origin:
        return Origin(source="images")

    @cached_property
    def _blobs(self) -> Mapping[str, tuple[Reference, Descriptor]]:
        return {
            blob_path(blob.digest): (reference, blob)
            for reference, image in self.wanted.items()
            for blob in image.blobs
        }

    def files(self) -> Sequence[SourceFile]:
        """What is small first: a layout is known to be one from its beginning."""
        known = {path: (digests.of(data), len(data)) for path, data in self.small.items()}
        rest = {path: (blob.digest, blob.size) for path, (_, blob) in self._blobs.items()}
        return [
            SourceFile(path, size, digest, digest)
            for path, (digest, size) in [*sorted(known.items()), *rest.items()]
        ]

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        if file.path in self.small:
            return io.BytesIO(self.small[file.path][offset:])
        reference, blob = self._blobs[file.path]
        return self.images.open(reference, blob, offset)

    def is_unchanged(self, file: SourceFile) -> bool:  # noqa: ARG002
        """What a digest names does not change."""
        return True

    def holds(self, path: Path) -> bool:  # noqa: ARG002
        return False


def blob_path(digest: Digest) -> str:
    return f"{FOLDER}/blobs/sha256/{digests.hex_of(digest)}"


@dataclass(kw_only=True)
class Saving(Writing):
    """Which images, from where, and what they come after."""

    source: StackSource

    @classmethod
    def plan(
        cls,
        outs: Sequence[Path],
        images: Images,
        wanted: Mapping[Reference, Image],
        files: Mapping[str, bytes],
        *,
        part_size: int = PART_SIZE,
        base: Base | None = None,
        advance: Advance = no_progress,
    ) -> Saving:
        """`files`: further small ones by path. A bundle that lies in `outs` is added to.

        What the base has is left out, but for `files`: a chart is read from one bundle.
        Raises PartMissing where not all of its media are there, ForeignBundle, BadValue.
        """
        small = {
            f"{FOLDER}/oci-layout": LAYOUT,
            f"{FOLDER}/index.json": layout_index(list(wanted.values())),
            **{blob_path(one.descriptor.digest): one.manifest for one in wanted.values()},
            **files,
        }
        source = StackSource(images, wanted, small)
        before, adds = _before(outs)
        all_files = source.files()
        layers = [file for file in all_files if file.path not in files]
        there, _ = cls.lacking(source, layers, base, advance)
        sizes = [(file.path, file.size) for file in all_files if file.path not in there]
        first = len(before.parts) if before else 0
        parts = [replace(one, number=first + one.number) for one in cut(sizes, "", part_size)]
        return cls(
            source=source,
            files=all_files,
            parts=parts,
            part_size=part_size,
            base=base,
            there=there,
            before=before,
            adds=adds,
        )

    @property
    def subject(self) -> str:
        return "images"

    @cached_property
    def fingerprint(self) -> str:
        files = [[file.path, file.size, file.stamp] for file in self.files]
        base = [self.base.name, sorted(self.there)] if self.base else None
        before = self.before and digests.of_all(self.before.written)
        return digests.of(canonical(["images", before, self.part_size, files, base]))

    def _index(self, journal: Journal, signer: Signer | None) -> Index:  # noqa: ARG002
        known = {**journal.files, **self.there}
        before = self.before or Index(self.part_size, (), {}, ())
        blobs = {
            file.digest: Blob(file.size, known[file.path].pieces)
            for file in self.files
            if file.digest and file.path not in self.there
        }
        files = tuple(
            File(path, digests.of(data), len(data))
            for path, data in sorted(self.source.small.items())
            if not path.startswith(f"{FOLDER}/blobs/")
        )
        stack = Stack(len(before.parts) + 1, tuple(self.source.wanted.values()), files)
        return replace(
            before,
            blobs={**before.blobs, **blobs},
            parts=self._parts(journal),
            base=self._elsewhere(),
            stack=stack,
        )


def _before(outs: Sequence[Path]) -> tuple[Index | None, bool]:
    """The models that lie there, and whether nothing else does.

    Raises PartMissing, PartTruncated, ForeignPart, ForeignBundle.
    """
    bundle = _bundle(outs)
    if bundle is None or not bundle.index.revisions:
        return None, False
    models = bundle.index.models
    bundle.require(models.parts)
    return models, bundle.index.stack is None


def _bundle(outs: Sequence[Path]) -> Bundle | None:
    """What lies there; where nothing does, and in directories that are not there yet, it may."""
    if not any((out / INDEX).is_file() for out in outs):
        return None
    return Bundle.open([out for out in outs if out.exists()])


def revisions_in(outs: Sequence[Path]) -> tuple[Revision, ...]:
    """The models that images would come after. Raises what `Saving.plan` does of them."""
    before, _ = _before(outs)
    return before.revisions if before else ()
