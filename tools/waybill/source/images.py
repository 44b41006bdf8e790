"""Container images, in registries and elsewhere: of an index, the one for a platform."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, Protocol

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import (
    BadValue,
    ImageMissing,
    ImageOfManyPlatforms,
    ImageUnusable,
    SourceNotFound,
)
from waybill.manifest import MANIFEST_TYPE, Descriptor
from waybill.source.reach import Reach
from waybill.source.reference import PLATFORM, Place, Reference
from waybill.source.registry import Registry, manifest_value
from waybill.source.streams import patiently, resumed

NAME = "io.containerd.image.name"
"""Annotation with an image's whole name, in an index.json."""
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Image:
    """An image of one platform: its name without a digest, and its manifest, byte for byte."""

    name: str
    manifest: bytes

    @cached_property
    def _value(self) -> Mapping[str, Any]:
        value: Mapping[str, Any] = json.loads(self.manifest)
        return value

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor.of(self.manifest, str(self._value.get("mediaType") or MANIFEST_TYPE))

    @cached_property
    def config(self) -> Descriptor:
        return Descriptor.from_json(self._value["config"])

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        return tuple(Descriptor.from_json(one) for one in self._value["layers"])

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Each content once, the config first."""
        found = {one.digest: one for one in (self.config, *self.layers)}
        return tuple(found.values())

    @property
    def size(self) -> int:
        """Bytes as they are stored, compressed or not."""
        return sum(blob.size for blob in self.blobs)

    @classmethod
    def parse(cls, name: str, manifest: bytes) -> Image:
        """Raises ImageUnusable."""
        image = cls(name, manifest)
        try:
            manifest.decode()
            whole = all(one.size >= 0 for one in image.blobs)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadValue) as error:
            why = "its manifest names no config and layers of an image"
            raise ImageUnusable(image=name, why=why) from error
        if not whole:
            raise ImageUnusable(image=name, why="a size in its manifest is below zero")
        return image


class Images(Protocol):
    """Where images are. Raises SourceUnreachable, SourceRefused, Corrupt."""

    def manifest(self, reference: Reference, which: str) -> tuple[bytes, Digest]:
        """What a tag or a digest leads to, checked. Raises ImageMissing."""

    def open(self, reference: Reference, blob: Descriptor, offset: int) -> IO[bytes]:
        """A blob's bytes from `offset` on, not verified."""


def resolve(images: Images, reference: Reference, platform: str = PLATFORM) -> Image:
    """The image of this platform. Raises ImageMissing, ImageUnusable, ImageOfManyPlatforms."""
    data, _ = images.manifest(reference, reference.digest or reference.tag)
    value = _value(data, str(reference))
    if "manifests" not in value:
        return Image.parse(reference.tagged, data)
    chosen = _of_platform(value, platform, str(reference))
    if reference.digest:
        image = str(reference)
        raise ImageOfManyPlatforms(image=image, platform=platform, digest=chosen)
    data, _ = images.manifest(reference, chosen)
    return Image.parse(reference.tagged, data)


def _of_platform(index: Mapping[str, Any], platform: str, name: str) -> Digest:
    found = {}
    try:
        for one in index["manifests"]:
            if told := one.get("platform"):
                parts = (told.get(key) for key in ("os", "architecture", "variant"))
                found["/".join(filter(None, parts))] = digests.parse(one["digest"])
    except (KeyError, TypeError, AttributeError, ValueError, BadValue) as error:
        raise ImageUnusable(image=name, why="its index is not readable") from error
    if platform not in found:
        known = ", ".join(sorted(set(found) - {"unknown/unknown"})) or "no platform"
        raise ImageUnusable(image=name, why=f"it has nothing for {platform}, but for {known}")
    return found[platform]


def _value(data: bytes, name: str) -> Mapping[str, Any]:
    try:
        return manifest_value(data)
    except ValueError as error:
        raise ImageUnusable(image=name, why=str(error)) from error


@dataclass(frozen=True)
class RegistryImages:
    """Images in their own registries, or all in one `place` that mirrors them."""

    reach: Reach = field(default_factory=Reach)
    place: Place | None = None
    _known: dict[str, Registry] = field(default_factory=dict, compare=False)

    def _registry(self, reference: Reference) -> Registry:
        place = self.place or Place.parse(reference.registry)
        repository = place.repository(reference)
        name = f"{place.host}/{repository}"
        if name not in self._known:
            self._known[name] = Registry(name, place.base, repository, self.reach)
        return self._known[name]

    def manifest(self, reference: Reference, which: str) -> tuple[bytes, Digest]:
        try:
            return patiently(lambda: self._registry(reference).manifest(which))
        except SourceNotFound as error:
            where = str(self.place or reference.registry)
            raise ImageMissing(image=str(reference), where=where) from error

    def open(self, reference: Reference, blob: Descriptor, offset: int) -> IO[bytes]:
        registry = self._registry(reference)

        def open_at(at: int) -> IO[bytes]:
            return registry.open(blob.digest, at, blob.size)

        return resumed(open_at, offset, blob.size, str(reference))


@dataclass(frozen=True)
class FirstOf:
    """Several places: an image comes from the first that has it."""

    places: Sequence[Images]

    def manifest(self, reference: Reference, which: str) -> tuple[bytes, Digest]:
        for place in self.places[:-1]:
            try:
                return place.manifest(reference, which)
            except ImageMissing:
                continue
        return self.places[-1].manifest(reference, which)

    def open(self, reference: Reference, blob: Descriptor, offset: int) -> IO[bytes]:
        for place in self.places[:-1]:
            try:
                return place.open(reference, blob, offset)
            except ImageMissing:
                continue
        return self.places[-1].open(reference, blob, offset)
