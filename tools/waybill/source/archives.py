"""Images in OCI archives on disk."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadFile, BadValue, Corrupt, ImageMissing, ImageTwice, Unreadable
from waybill.manifest import Descriptor
from waybill.source.directory import NamedFile
from waybill.source.images import NAME, REF_NAME
from waybill.source.reference import Reference
from waybill.source.registry import manifest_value
from waybill.store.base import Limited

_LARGEST = 4 << 20


@dataclass(frozen=True)
class ArchiveImages:
    """Images in OCI archives (`docker save`, `skopeo copy … oci-archive:FILE:NAME`), as tar files.

    An image counts by its whole name, else by repository and tag, whatever registry is named.
    """

    paths: Sequence[Path]

    @cached_property
    def _archives(self) -> list[_Archive]:
        return [_Archive(path) for path in self.paths]

    def manifest(self, reference: Reference, which: str) -> tuple[bytes, Digest]:
        """Raises Corrupt, ImageMissing, ImageTwice."""
        wanted = Digest(which) if digests.is_digest(which) else self._named(reference)
        for archive in self._archives:
            if wanted in archive.blobs:
                data = archive.read(Digest(wanted))
                found = digests.of(data)
                if found != wanted:
                    what = f"the manifest of {reference} in {archive.path}"
                    raise Corrupt(what=what, expected=wanted, found=found)
                return data, found
        raise ImageMissing(image=str(reference), where=", ".join(map(str, self.paths)))

    def _named(self, reference: Reference) -> str:
        """The digest, '' where no archive has the name. Raises ImageTwice."""
        path = f"{reference.repository}:{reference.tag}"
        named = [(name, archive) for archive in self._archives for name in archive.names]
        whole = [one for one in named if one[0] == reference.tagged]
        found = {
            archive.names[name]: f"{archive.path} ({name})"
            for name, archive in whole or named
            if _without_registry(name) == path
        }
        if len(found) > 1:
            (first, one), (second, other), *_ = found.items()
            raise ImageTwice(image=reference, first=first, one=one, second=second, other=other)
        return next(iter(found), "")

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
    def names(self) -> Mapping[str, Digest]:
        """Names, whole or not, and what they lead to."""
        if "index.json" not in self._members:
            why = "it is no OCI archive: `docker save` makes one since version 25"
            raise BadFile(path=self.path, why=why)
        try:
            index = manifest_value(self._bytes(*self._members["index.json"]))
            found = {_name(one): digests.parse(one["digest"]) for one in index["manifests"]}
        except (ValueError, KeyError, TypeError, AttributeError, BadValue) as error:
            raise BadFile(path=self.path, why="its index.json is not readable") from error
        if found.keys() == {""}:
            why = "it names none of its images: skopeo copy … oci-archive:FILE:NAME"
            raise BadFile(path=self.path, why=why)
        return found

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


def _name(entry: Mapping[str, Any]) -> str:
    notes = entry.get("annotations") or {}
    return str(notes.get(NAME) or notes.get(REF_NAME) or "")


def _without_registry(name: str) -> str:
    """As Docker tells one: by a dot or a port, or `localhost`."""
    first, slash, rest = name.partition("/")
    return rest if slash and (first == "localhost" or {".", ":"} & {*first}) else name
