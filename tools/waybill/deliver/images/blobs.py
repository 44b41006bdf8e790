"""Where the blobs of a bundle's images are: in it, or in bundles before, which it left them out of.

What a bundle's index says of an image holds wherever its layers come from: each is checked against
it while it is read, so an earlier bundle needs no signature of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from waybill.bundle.media import Bundle, BundleContent
from waybill.digest import Digest
from waybill.errors import ImagesNotWhole
from waybill.manifest import Descriptor


@dataclass(frozen=True)
class Blobs:
    """`bases` are asked in their order for what the bundle lacks."""

    bundle: Bundle
    bases: tuple[Bundle, ...] = ()

    @classmethod
    def of(cls, bundle: Bundle, folders: Sequence[Path]) -> Blobs:
        """`folders` are media of earlier bundles: several of one belong together.

        Raises NotABundle, BadIndex, DamagedIndex, Unreadable.
        """
        media: dict[Digest, list[Path]] = {}
        for folder in folders:
            media.setdefault(Bundle.open([folder]).index.digest, []).append(folder)
        return cls(bundle, tuple(map(Bundle.open, media.values())))

    @property
    def all(self) -> tuple[Bundle, ...]:
        return (self.bundle, *self.bases)

    def holder(self, blob: Descriptor) -> Bundle | None:
        """The first that has it, as long as it should be."""
        for one in self.all:
            found = one.index.blobs.get(blob.digest)
            if found and found.size == blob.size:
                return one
        return None

    def content(self, blob: Descriptor) -> BundleContent:
        """Of one that is here."""
        return (self.holder(blob) or self.bundle).content(blob.digest)

    def by_part(self, blobs: Iterable[Descriptor]) -> list[Descriptor]:
        """Those that are here as they lie on the media, which are read from front to end then."""
        found = {blob.digest: (blob, self.holder(blob)) for blob in blobs}
        ordered = []
        for bundle in self.all:
            here = [blob for blob, holder in found.values() if holder is bundle]
            ordered += sorted(here, key=lambda blob: _place(bundle, blob))
        return ordered

    def require(self, blobs: Iterable[Descriptor]) -> None:
        """Raises PartMissing, PartTruncated, ForeignPart."""
        found = [self.content(blob) for blob in blobs if self.holder(blob)]
        for bundle in self.all:
            here = (content for content in found if content.bundle is bundle)
            bundle.require(part for content in here for part in content.parts)

    def not_whole(self, image: str, blob: Descriptor, where: str, step: str) -> ImagesNotWhole:
        """No bundle here has it, nor the place that it was to come to."""
        base = self.bundle.index.base.name if self.bundle.index.base else "nothing"
        return ImagesNotWhole(image=image, blob=blob.digest, base=base, where=where, step=step)


def _place(bundle: Bundle, blob: Descriptor) -> tuple[int, int]:
    part, extent = bundle.index.places[blob.digest][0]
    return part.number, extent.at
