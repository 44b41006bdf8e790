"""What can be loaded into a store: revisions, and where the contents of their blobs are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

from waybill.bundle.format import Revision
from waybill.bundle.media import Bundle
from waybill.bundle.trusted import require_trust
from waybill.digest import Digest
from waybill.errors import BaseDamaged, BaseMissing, Corrupt, WaybillError
from waybill.manifest import Descriptor
from waybill.sign.trust import Policy
from waybill.store import layout
from waybill.store.base import Advance, Content
from waybill.store.store import Store


class Load(Content, Protocol):
    """A content that knows whose it is."""

    @property
    def other(self) -> Load | None:
        """The same from another place, for when this one gave wrong bytes, or none."""

    def blame(self, error: Corrupt) -> WaybillError:
        """What to say when it was not what its digest names."""


class Cargo(Protocol):
    """`content` of a blob can be had for each that `require` was told of."""

    @property
    def revisions(self) -> Sequence[Revision]: ...

    def content(self, blob: Digest) -> Load: ...

    def trust(self, policy: Policy | None) -> Cargo:
        """The same, as far as the policy lets it in. Raises Unsigned, UntrustedSignature."""

    def require(self, store: Store, missing: Sequence[Descriptor]) -> None:
        """Raises what keeps the missing blobs from being sent, before the first byte."""

    def batches(self, missing: Iterable[Descriptor]) -> Iterator[Sequence[Descriptor]]:
        """The blobs in the best order; those of one batch may be sent at once."""

    def devices(self, blobs: Iterable[Descriptor], /) -> int:
        """How many devices the blobs begin on."""

    def stoppable(self, advance: Advance) -> Cargo:
        """The same, but where it waits for people, `advance` may end the waiting."""


@dataclass(frozen=True)
class BundleCargo:
    """The parts of a bundle, on one medium or many."""

    bundle: Bundle

    @property
    def revisions(self) -> Sequence[Revision]:
        return self.bundle.index.revisions

    def content(self, blob: Digest) -> Load:
        return self.bundle.content(blob)

    def trust(self, policy: Policy | None) -> BundleCargo:
        return BundleCargo(require_trust(self.bundle, policy))

    def require(self, store: Store, missing: Sequence[Descriptor]) -> None:
        """Raises BaseMissing, BaseDamaged, PartTruncated, ForeignPart; PartMissing unless there is
        a tray."""
        self._require_base(store, missing)
        bundle = self.bundle
        parts = {part for blob in missing for part in bundle.content(blob.digest).parts}
        bundle.require(part for part in parts if bundle.path(part) or not bundle.tray)

    def _require_base(self, store: Store, missing: Sequence[Descriptor]) -> None:
        """Raises BaseMissing or BaseDamaged when the store cannot give what the bundle lacks."""
        index = self.bundle.index
        lacking = [blob for blob in missing if blob.digest not in index.blobs]
        if index.base and lacking:
            files = (file for one in index.revisions for file in one.manifest.files)
            path = {file.digest: file.path for file in files}[lacking[0].digest]
            name, count = index.base.name, len(lacking)
            if store.backend.stat(layout.blob(lacking[0].digest)):
                raise BaseDamaged(base=name, url=store.url, count=count, path=path)
            raise BaseMissing(base=name, url=store.url, count=count, path=path)

    def batches(self, missing: Iterable[Descriptor]) -> Iterator[Sequence[Descriptor]]:
        """Each device in its order, in turns: those that are here whole before one that is not.

        A blob that goes on on another medium comes alone, as soon as its first part is here.
        """
        bundle = self.bundle

        def place(blob: Descriptor) -> tuple[int, int]:
            part, extent = bundle.index.places[blob.digest][0]
            return part.number, extent.at

        left = sorted(missing, key=place)
        while left:
            here = {part for part in bundle.index.parts if bundle.path(part) or not bundle.tray}
            parts = {blob.digest: bundle.content(blob.digest).parts for blob in left}
            batch = [blob for blob in left if here.issuperset(parts[blob.digest])]
            batch = batch or [blob for blob in left if parts[blob.digest][0] in here][:1]
            if not batch and bundle.tray:
                bundle.tray.wait(bundle, [each[0] for each in parts.values()])
            yield self._in_turns(batch)
            sent = {blob.digest for blob in batch}
            left = [blob for blob in left if blob.digest not in sent]

    def _in_turns(self, blobs: Sequence[Descriptor]) -> list[Descriptor]:
        """One blob of each device after the other, so that all devices are read at once."""
        turns = zip_longest(*self._by_device(blobs).values())
        return [blob for turn in turns for blob in turn if blob is not None]

    def devices(self, blobs: Iterable[Descriptor], /) -> int:
        return len(self._by_device(blobs))

    def _by_device(self, blobs: Iterable[Descriptor]) -> dict[int, list[Descriptor]]:
        devices: dict[int, list[Descriptor]] = {}
        for blob in blobs:
            path = self.bundle.path(self.bundle.content(blob.digest).parts[0])
            devices.setdefault(_device(path), []).append(blob)
        return devices

    def stoppable(self, advance: Advance) -> BundleCargo:
        tray = self.bundle.tray
        if tray is None:
            return self
        return BundleCargo(replace(self.bundle, tray=replace(tray, advance=advance)))


def _device(path: Path | None) -> int:
    """The number of the device that a file is on; 0 when it has just gone: reading will tell."""
    try:
        return path.stat().st_dev if path else 0
    except OSError:
        return 0
