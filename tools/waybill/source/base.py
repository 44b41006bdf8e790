"""What a source gives: files of known size, streams of their bytes, and where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from waybill.digest import Digest


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file. `stamp` changes when its bytes may have; digests where the source names them.

    Files that have a `turn` are to be read one at a time, in that order: any other way, what is
    before each of them is fetched again.
    """

    path: str
    size: int
    stamp: str
    digest: Digest | None = None
    git_oid: str | None = None
    turn: tuple[int, int] | None = None


@dataclass(frozen=True)
class Origin:
    """Provenance of a revision, as far as the source knows it.

    `signed` are DSSE envelopes about the files as the source has them, all of them.
    """

    source: str
    repo: str | None = None
    commit: str | None = None
    license: str | None = None
    signed: tuple[bytes, ...] = ()
    asked: str | None = None
    """The repo that was asked for, where the source answers in the name of another one."""


class Source(Protocol):
    """Raises SourceUnreachable from every method, and from reading, when it does not answer.

    `str` of it is what people call it in messages; the origin is what provenance says.
    """

    @property
    def local(self) -> bool:
        """Whether a file can be read again, and at several places at once, at next to no cost."""

    @property
    def origin(self) -> Origin: ...

    def files(self) -> Sequence[SourceFile]:
        """All files, sorted by path. Raises UnsafePath."""

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        """A stream of the file's bytes from `offset` on."""

    def holds(self, path: Path) -> bool:
        """Whether what is written to `path` becomes a part of the source."""

    def is_unchanged(self, file: SourceFile) -> bool:
        """Whether the file still has the stamp it was listed with."""
