"""Which packages are in an image: asked of its layers in a bundle, as they lie over each other."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Self

from waybill import digest as digests
from waybill.bundle.media import Bundle
from waybill.deliver.bom import Component
from waybill.deliver.images.databases import READ, UNREAD, packages
from waybill.deliver.images.parts import stack_of
from waybill.digest import CHUNK, Digest
from waybill.manifest import Descriptor
from waybill.source.images import Image
from waybill.source.layers import StrictInfo, unpacked
from waybill.store.base import Advance, no_progress

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_ALL = 64 * 2**20
"""Bytes that are kept of a layer at most."""
_HEADER = 2**20
"""Bytes of a name or of records before a member; tarfile would read any length of it."""
_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_GZIP = b"\x1f\x8b"
_MALFORMED = (
    *(tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError),
    *(ValueError, TypeError, OverflowError, RecursionError),
)


@dataclass(frozen=True)
class _Layer:
    """The databases of a layer, the paths that it takes from those below, and what is not read."""

    files: Mapping[str, bytes]
    removed: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()

    def over(self, below: Mapping[str, bytes]) -> dict[str, bytes]:
        kept = {path: data for path, data in below.items() if not self._removes(path)}
        return {**kept, **self.files}

    def _removes(self, path: str) -> bool:
        folders = {path[:at] for at, letter in enumerate(path) if letter == "/"}
        return not self.removed.isdisjoint({"", *folders, path})


@dataclass(frozen=True)
class Packages:
    """Of a bundle's images; a layer that several have is read once."""

    bundle: Bundle
    advance: Advance = no_progress
    _layers: dict[Digest, _Layer] = field(default_factory=dict)

    def of(self, image: Image) -> tuple[list[Component], list[str]]:
        """By their purl, each once; and what could not be read, with why.

        Raises PartMissing, PartTruncated, ForeignPart, Corrupt.
        """
        files: dict[str, bytes] = {}
        unread: set[str] = set()
        for blob in image.layers:
            layer = self._layer(blob)
            files = layer.over(files)
            unread |= layer.unread
        found = {one["purl"]: one for one in packages(files, unread)}
        return [found[purl] for purl in sorted(found)], sorted(unread)

    def _layer(self, blob: Descriptor) -> _Layer:
        if blob.digest not in self._layers:
            there = blob.digest in self.bundle.index.blobs
            self._layers[blob.digest] = (
                self._read(blob) if there else _unread(blob, "it is not in this bundle")
            )
        return self._layers[blob.digest]

    def _read(self, blob: Descriptor) -> _Layer:
        """Nothing of it is believed before all of it was checked."""
        content = self.bundle.content(blob.digest)
        self.bundle.require(content.parts)
        with content.open(0, blob.size) as stream:
            hashed = _Hashed(stream, self.advance)
            reader = io.BufferedReader(hashed, CHUNK)
            archive = unpacked(reader, reader.peek(2)[:2] == _GZIP)
            try:
                with tarfile.open(None, "r|", archive, CHUNK, tarinfo=_Member) as tar:
                    layer = _layer_of(tar)
            except _MALFORMED as error:
                layer = _unread(blob, f"{blob.media_type} is read by nothing here ({error})")
            while reader.read(CHUNK):
                pass
        found = digests.from_hex(hashed.sha.hexdigest())
        digests.check(blob.digest, blob.size, found, hashed.count, content.name)
        return layer


def layers_size(bundle: Bundle) -> int:
    """Bytes of all layers that are in the bundle. Raises NoImages."""
    layers = {one.digest: one.size for image in stack_of(bundle).images for one in image.layers}
    return sum(size for digest, size in layers.items() if digest in bundle.index.blobs)


class _Hashed(io.RawIOBase):
    """A stream, and the hash of what was read of it."""

    def __init__(self, stream: IO[bytes], advance: Advance) -> None:
        self._stream, self._advance = stream, advance
        self.sha, self.count = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        into = memoryview(buffer).cast("B")
        data = self._stream.read(len(into))
        into[: len(data)] = data
        self.sha.update(data)
        self.count += len(data)
        self._advance(len(data))
        return len(data)


class _Member(StrictInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENDED and found.size > _HEADER:
            raise ValueError(f"a header of {found.size:,} bytes")
        return found


def _unread(blob: Descriptor, why: str) -> _Layer:
    return _Layer({}, unread=frozenset([f"{blob.digest}: {why}"]))


def _layer_of(tar: tarfile.TarFile) -> _Layer:
    files: dict[str, bytes] = {}
    removed, unread, room = set[str](), set[str](), _ALL
    for member in tar:
        tar.members.clear()  # type: ignore[attr-defined]  # It would keep one for each.
        path = member.name.removeprefix("./").lstrip("/")
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            removed.add(folder)
        elif name.startswith(_WHITEOUT):
            removed.add(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
        elif UNREAD.fullmatch(path):
            unread.add(f"{path}: this form of RPM's database is read by nothing here")
        elif member.issym() or member.islnk():
            # In the place of what lay below; where it leads is not followed.
            removed.add(path)
            unread |= {f"{path}: it is a link"} if READ.fullmatch(path) else set()
        elif READ.fullmatch(path) and member.size > room:
            removed.add(path)
            unread.add(f"{path}: no database is as large")
        elif READ.fullmatch(path) and member.isreg():
            reader = tar.extractfile(member)
            files[path] = reader.read() if reader else b""
            room -= member.size
    return _Layer(files, frozenset(removed), frozenset(unread))
