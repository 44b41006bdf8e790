"""A bundle as it lies on its media: the index, and where each part is."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TypeVar

from cryptography.x509 import Certificate

from waybill import digest as digests
from waybill.bundle.format import CERTIFICATES, INDEX, SIGNATURE, Extent, Index, Part, spans
from waybill.bundle.tray import Tray
from waybill.digest import Digest
from waybill.errors import (
    BadFile,
    Corrupt,
    ForeignBundle,
    ForeignPart,
    NotABundle,
    PartMissing,
    PartTruncated,
    Unreadable,
)
from waybill.sign import certificates
from waybill.sign.dsse import Signature
from waybill.source.directory import NamedFile
from waybill.store.base import Limited

Told = TypeVar("Told")


@dataclass(frozen=True)
class Bundle:
    """`folders` are the directories of the media, in any order; a tray waits for their parts.

    `trusted`: the index has a signature that a trust policy asks for, and it was checked.
    """

    index: Index
    folders: tuple[Path, ...]
    tray: Tray | None = None
    trusted: bool = False

    @classmethod
    def open(cls, folders: Sequence[Path], tray: Tray | None = None) -> Bundle:
        """A directory that is not there is one that a medium comes into, where a tray waits.

        Raises NotABundle, BadIndex, DamagedIndex, and ForeignBundle for media of several.
        """
        found = {folder: seen for folder in folders if (seen := _seen(folder / INDEX))}
        absent = [] if tray else [folder for folder in folders if not folder.exists()]
        if absent or not found:
            raise NotABundle(where=", ".join(map(str, absent or folders)))
        first, *others = found
        index = _index(first)
        for folder in others:
            if found[folder] != found[first]:
                # A damaged one is not that of another bundle.
                _index(folder)
                raise ForeignBundle(where=folder)
        return cls(index, tuple(folders), tray)

    def seals(self) -> list[Signature]:
        """The signatures of the index that came on the media, which nobody has looked at yet.

        Raises BadFile, Unreadable.
        """
        found = {folder: _read(folder / SIGNATURE) for folder in self.folders}
        return [
            Signature("", value, _chain(folder / CERTIFICATES))
            for folder, value in found.items()
            if value is not None
        ]

    def path(self, part: Part, copy: int = 0) -> Path | None:
        """Where a part, or another copy, lies, a whole one first, and the last one where there are
        fewer copies; None when it is on none of the media."""
        found = self.copies(part)
        return found[min(copy, len(found) - 1)] if found else None

    def copies(self, part: Part) -> list[Path]:
        """Wherever a part lies, the whole ones first."""
        found = [path for one in self.folders if (path := one / part.name).is_file()]
        return sorted(found, key=lambda path: path.stat().st_size != part.size)

    def require(self, parts: Iterable[Part]) -> None:
        """Raises PartMissing naming all that are missing, PartTruncated, ForeignPart."""
        wanted = sorted(set(parts), key=lambda part: part.number)
        found = {part: self.copies(part) for part in wanted}
        if missing := [part.number for part, copies in found.items() if not copies]:
            raise PartMissing(parts=spans(missing), where=", ".join(map(str, self.folders)))
        for part, copies in found.items():
            # The best one last: what is wrong with it is said if none is right.
            _check_any(part, copies[::-1])

    def read(self, part: Part, offset: int, length: int, copy: int = 0) -> IO[bytes]:
        """`length` bytes of a part from `offset`. Errors of the medium name the part."""
        path = self.path(part, copy)
        if path is None and self.tray:
            self.tray.wait(self, [part])
            path = self.path(part, copy)
        if path is None:
            raise PartMissing(parts=part.name, where=", ".join(map(str, self.folders)))
        return opened(path, offset, length)

    def content(self, blob: Digest) -> BundleContent:
        return BundleContent(self, blob)


def _check_any(part: Part, copies: Sequence[Path]) -> None:
    """One copy that is right is enough. Raises what `check` says of the last."""
    first, *others = copies
    try:
        check(part, first)
    except (PartTruncated, ForeignPart, Unreadable):
        if not others:
            raise
        _check_any(part, others)


def check(part: Part, path: Path) -> None:
    """Size and member headers of a copy: cheap, and enough to know a part of another bundle.

    Raises PartTruncated, ForeignPart, Unreadable.
    """
    if (found := path.stat().st_size) != part.size:
        raise PartTruncated(part=path, found=found, expected=part.size)
    for extent in part.extents:
        length = len(extent.header)
        with opened(path, extent.at - length, length) as stream:
            if stream.read() != extent.header:
                raise ForeignPart(part=path, why=f"it lacks {extent.member}")


def _seen(path: Path) -> Digest | None:
    """Of a file as it is, if it is there."""
    return _told(path, lambda stream: digests.of_all(digests.chunks(stream)))


def _index(folder: Path) -> Index:
    return Index.parse(_whole(folder), str(folder / INDEX))


def _whole(folder: Path) -> bytes:
    """The index's bytes, which nobody else keeps: what is read from them is larger."""
    if (data := _read(folder / INDEX)) is None:
        raise NotABundle(where=folder)
    return data


def _chain(path: Path) -> tuple[Certificate, ...]:
    if (data := _read(path)) is None:
        return ()
    try:
        return certificates.parse(data.decode("ascii", "replace"))
    except ValueError as error:
        raise BadFile(path=path, why=str(error)) from error


@dataclass(frozen=True)
class BundleContent:
    """A blob's bytes, streamed from its extents (a `store.base.Content`).

    `copy`: which copy of its parts is read, from 0, where there are as many.
    """

    bundle: Bundle
    blob: Digest
    rereadable: bool = True
    copy: int = 0

    @property
    def size(self) -> int:
        return self.bundle.index.blobs[self.blob].size

    @property
    def pieces(self) -> tuple[Digest, ...] | None:
        pieces = self.bundle.index.blobs[self.blob].pieces if self.bundle.trusted else ()
        return pieces or None

    @property
    def parts(self) -> list[Part]:
        return [part for part, _ in self.bundle.index.places[self.blob]]

    @property
    def other(self) -> BundleContent | None:
        """The same from other copies of its parts, as long as there are any."""
        copy = self.copy + 1
        more = any(len(self.bundle.copies(part)) > copy for part in self.parts)
        return replace(self, copy=copy) if more else None

    @property
    def name(self) -> str:
        """What people look for when it is wrong, and where."""
        paths = [self.bundle.path(part, self.copy) for part in self.parts]
        folders = {path.parent for path in paths if path}
        return f"{self.title} in {', '.join(sorted(map(str, folders)))}"

    @property
    def title(self) -> str:
        """The file and its parts."""
        _, first = self.bundle.index.places[self.blob][0]
        file = first.member if first.length == self.size else first.member.rpartition(".")[0]
        numbers = sorted({part.number for part in self.parts})
        return f"{file} of {spans(numbers)}"

    def blame(self, error: Corrupt) -> Corrupt:
        return Corrupt(**{**error.facts, "what": self.name})

    def open(self, offset: int, length: int) -> IO[bytes]:
        spans = []
        for part, extent in self.bundle.index.places[self.blob]:
            begin, end = max(offset, extent.offset), min(offset + length, _end(extent))
            if begin < end:
                spans.append((part, extent.at + begin - extent.offset, end - begin))
        return _Chain(self.bundle, spans, self.copy)  # type: ignore[return-value]


def _end(extent: Extent) -> int:
    return extent.offset + extent.length


def opened(path: Path, offset: int, length: int) -> IO[bytes]:
    """`length` bytes of a file from `offset`. Errors of the medium name it: Unreadable."""
    try:
        stream = NamedFile(path)
        stream.seek(offset)
    except OSError as error:
        raise _unreadable(path, error) from error
    return Limited(stream, length)  # type: ignore[return-value]


def _unreadable(path: Path, error: OSError) -> Unreadable:
    return Unreadable(path=path, why=error.strerror)


class _Chain(io.RawIOBase):
    """Several spans of parts as one stream."""

    def __init__(self, bundle: Bundle, spans: Sequence[tuple[Part, int, int]], copy: int) -> None:
        self._bundle, self._spans, self._copy = bundle, list(spans), copy
        self._stream: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while self._stream or self._spans:
            if self._stream is None:
                self._stream = self._bundle.read(*self._spans.pop(0), self._copy)
            if data := self._stream.read(size):
                return data
            self._stream.close()
            self._stream = None
        return b""

    def close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None
        super().close()


def _read(path: Path) -> bytes | None:
    return _told(path, lambda stream: stream.read())


def _told(path: Path, ask: Callable[[IO[bytes]], Told]) -> Told | None:
    try:
        # A pipe of that name would keep us waiting.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable(path=path, why="it is not a regular file")
        with path.open("rb") as stream:
            return ask(stream)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
