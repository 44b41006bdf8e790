"""How files are cut into parts: decided from names and sizes alone, before a byte is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from waybill.bundle.format import TAR_END, member_header, padding
from waybill.digest import PIECE
from waybill.errors import BadValue, UnsafePath
from waybill.manifest import safe_path

PART_SIZE = 4_000_000_000
"""Bytes; below what FAT32 can hold in one file."""
SMALLEST = PIECE + 64 * 1024
MOST_PARTS = 99_999
"""Their numbers have five digits. A server may tell any size, and each part would be planned."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`length` bytes of the file `path` from `offset`, at byte `at` of its part."""

    path: str
    member: str
    offset: int
    length: int
    at: int

    @property
    def end(self) -> int:
        """The byte of the part after the padding."""
        return self.at + self.length + padding(self.length)


@dataclass(frozen=True)
class PartPlan:
    """What a part will hold. Numbers count from 1."""

    number: int
    slices: tuple[Slice, ...]

    @property
    def size(self) -> int:
        return self.slices[-1].end + TAR_END


def cut(files: Iterable[tuple[str, int]], folder: str, part_size: int) -> list[PartPlan]:
    """Fill parts of at most `part_size` bytes with (path, size) in the order given.

    A file that does not fit is cut at the last multiple of 64 MiB that does.
    Raises BadValue when a part could not hold one piece, or too many would be needed, UnsafePath
    for a name that no file system takes.
    """
    files = list(files)
    if part_size < SMALLEST:
        raise BadValue(what="--part-size", value=part_size, why=f"it is below {SMALLEST} bytes")
    total = sum(size for _, size in files)
    if total > part_size * MOST_PARTS:
        why = f"{MOST_PARTS:,} parts of it are too few for {total:,} bytes"
        raise BadValue(what="--part-size", value=part_size, why=why)
    cutter = _Cutter(folder, part_size)
    for path, size in files:
        cutter.add(path, size)
    return cutter.done()


class _Cutter:
    def __init__(self, folder: str, part_size: int) -> None:
        self._folder, self._limit = folder, part_size - TAR_END
        self._parts: list[PartPlan] = []
        self._slices: list[Slice] = []
        self._names: set[str] = set()

    @property
    def _position(self) -> int:
        return self._slices[-1].end if self._slices else 0

    def add(self, path: str, size: int) -> None:
        offset, whole = 0, f"{self._folder}/{path}".lstrip("/")
        name = whole
        while not self._place(path, name, offset, size - offset):
            name = f"{whole}.{offset:020}"
            room = self._limit - self._position - len(member_header(name, self._limit))
            length = room // PIECE * PIECE
            if length > 0 and self._place(path, name, offset, length):
                offset += length
            self._close()
            name = f"{whole}.{offset:020}" if offset else whole

    def _place(self, path: str, name: str, offset: int, length: int) -> bool:
        """Put a slice at the end of the open part, if it fits; an empty one needs a header only."""
        at = self._position + len(member_header(name, length))
        if at + length + padding(length) > self._limit:
            return False
        if name in self._names:
            raise UnsafePath(path=name, where="the bundle", why="two members would have this name")
        self._names.add(safe_path(name, "the bundle"))
        self._slices.append(Slice(path, name, offset, length, at))
        return True

    def _close(self) -> None:
        if not self._slices:
            raise BadValue(what="part size", value=self._limit + TAR_END, why="nothing fits in it")
        self._parts.append(PartPlan(len(self._parts) + 1, tuple(self._slices)))
        self._slices = []

    def done(self) -> list[PartPlan]:
        if self._slices:
            self._close()
        return self._parts
