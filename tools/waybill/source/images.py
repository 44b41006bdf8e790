"""Container images, in registries or in archives on disk: of an index, the one for a platform."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import (
    BadFile,
    BadValue,
    Corrupt,
    ImageMissing,
    ImageOfManyPlatforms,
    ImageUnusable,
    SourceNotFound,
    Unreadable,
)
from waybill.manifest import MANIFEST_TYPE, Descriptor
from waybill.source.directory import NamedFile
from waybill.source.reach import Reach
from waybill.source.reference import Place, Reference
from waybill.source.registry import Registry
from waybill.source.streams import patiently, resumed
from waybill.store.base import Limited

PLATFORM = "linux/amd64"
NAME = "io.containerd.image.name"
"""Annotation with an image's whole name, in an index.json."""
REF_NAME = "org.opencontainers.image.ref.name"
_LARGEST = 4 << 20


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
    value = _json(data, str(reference))
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


def _json(data: bytes, name: str) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageUnusable(image=name, why="its manifest is no JSON") from error
    if not isinstance(value, dict):
        raise ImageUnusable(image=name, why="its manifest is no map")
    return value


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
class ArchiveImages:
    """Images in OCI archives (`docker save`, `skopeo copy … oci-archive:`), as tar files.

    An image counts by its repository and its tag, whatever registry the archive names.
    """

    paths: Sequence[Path]

    @cached_property
    def _archives(self) -> list[_Archive]:
        return [_Archive(path) for path in self.paths]

    def manifest(self, reference: Reference, which: str) -> tuple[bytes, Digest]:
        for archive in self._archives:
            wanted = which
            if not digests.is_digest(which):
                wanted = archive.names.get(f"{reference.repository}:{reference.tag}", "")
            if wanted in archive.blobs:
                data = archive.read(Digest(wanted))
                found = digests.of(data)
                if found != wanted:
                    what = f"the manifest of {reference} in {archive.path}"
                    raise Corrupt(what=what, expected=wanted, found=found)
                return data, found
        raise ImageMissing(image=str(reference), where=", ".join(map(str, self.paths)))

    def open(self, reference: Reference, blob: Descriptor, offset: int) -> IO[bytes]:
        for archive in self._archives:
            if blob.digest in archive.blobs:
                return archive.open(blob.digest, offset)
        where = ", ".join(map(str, self.paths))
        raise ImageMissing(image=f"{reference} ({blob.digest})", where=where)


@dataclass(frozen=True)
class _Archive:
    """One tar of an OCI image layout. Raises BadFile, Unreadable."""

    path: Path

    @cached_property
    def _members(self) -> Mapping[str, tuple[int, int]]:
        """Name -> where its bytes begin, and how many there are."""
        try:
            with tarfile.open(self.path, "r:") as tar:
                return {one.name: (one.offset_data, one.size) for one in tar if one.isreg()}
        except tarfile.TarError as error:
            raise BadFile(path=self.path, why=f"it is no plain tar archive ({error})") from error
        except OSError as error:
            raise Unreadable(path=self.path, why=error.strerror) from error

    @cached_property
    def blobs(self) -> Mapping[str, tuple[int, int]]:
        prefix = "blobs/sha256/"
        return {
            f"sha256:{name.removeprefix(prefix)}": place
            for name, place in self._members.items()
            if name.startswith(prefix)
        }

    @cached_property
    def names(self) -> Mapping[str, str]:
        """repository:tag -> digest."""
        if "index.json" not in self._members:
            why = "it is no OCI archive: `docker save` makes one since version 25"
            raise BadFile(path=self.path, why=why)
        index = _json(self._bytes(*self._members["index.json"]), str(self.path))
        return dict(self._named(index))

    def _named(self, index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        try:
            for one in index["manifests"]:
                notes = one.get("annotations") or {}
                name = str(notes.get(NAME) or notes.get(REF_NAME) or "")
                yield name.partition("/")[2] or name, str(one["digest"])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFile(path=self.path, why="its index.json is not readable") from error

    def read(self, digest: Digest) -> bytes:
        at, size = self.blobs[digest]
        if size > _LARGEST:
            raise BadFile(path=self.path, why=f"a manifest in it has {size} bytes")
        return self._bytes(at, size)

    def _bytes(self, at: int, size: int) -> bytes:
        with self._open(at, size) as stream:
            return stream.read()

    def open(self, digest: Digest, offset: int) -> IO[bytes]:
        at, size = self.blobs[digest]
        return self._open(at + offset, size - offset)

    def _open(self, at: int, size: int) -> IO[bytes]:
        try:
            stream = NamedFile(self.path)
            stream.seek(at)
        except OSError as error:
            raise Unreadable(path=self.path, why=error.strerror) from error
        return Limited(stream, size)  # type: ignore[return-value]


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
