"""Writing the files of a source into parts: each byte read once, resumed at the last finished part.

The state of unfinished work is a journal beside the parts. A part appears under its name
only when it is complete and on disk; bundle.json comes last, so where it is, all is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from waybill.bundle import outputs
from waybill.bundle.base import Base
from waybill.bundle.cut import PartPlan, Slice
from waybill.bundle.format import Elsewhere, Extent, Index, Part
from waybill.bundle.journal import Finished, Journal
from waybill.bundle.lanes import HASHES, FileHash, Lanes
from waybill.bundle.upstream import finished
from waybill.bundle.writer import PartWriter
from waybill.digest import CHUNK
from waybill.errors import BadValue, SourceChanged
from waybill.sign.keys import Signer
from waybill.source.base import Source, SourceFile
from waybill.store.base import Advance, no_progress


@dataclass(frozen=True)
class Packed:
    """A finished bundle. `reused`: parts that an earlier run had finished."""

    index: Index
    reused: int


@dataclass(kw_only=True)
class Writing(ABC):
    """What is going to be written, known before a byte is read."""

    source: Source
    files: Sequence[SourceFile]
    parts: Sequence[PartPlan]
    part_size: int
    base: Base | None = None
    there: Mapping[str, Finished] = field(default_factory=dict)
    """The files that the base has, by path: they are left out."""
    before: Index | None = None
    """What the directories hold already: its parts stay, and these come after them."""
    adds: bool = False
    """That is all they hold: a bundle that nobody has added other things to."""

    @staticmethod
    def lacking(
        source: Source, files: Sequence[SourceFile], base: Base | None, advance: Advance
    ) -> tuple[dict[str, Finished], list[tuple[str, int]]]:
        """What the base has of the files, and path and size of each that has to be written."""
        there = base.holding(source, files, advance) if base else {}
        return there, [(file.path, file.size) for file in files if file.path not in there]

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is written, and from where: a rerun of the same goes on."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Differs when another run would write other parts."""

    @abstractmethod
    def _index(self, journal: Journal, signer: Signer | None) -> Index: ...

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    def run(
        self, outs: Sequence[Path], advance: Advance = no_progress, signer: Signer | None = None
    ) -> Packed:
        """Write the bundle into the directories of `outs`, each filled in turn, and sign it.

        Raises MediaFull before the first byte, ForeignBundle, BeingPacked, SourceChanged, Corrupt.
        """
        outs = self._places(outs)
        with ExitStack() as stack:
            opened = (Journal.open(out, self.subject, self.fingerprint) for out in outs)
            journals = [stack.enter_context(journal) for journal in opened]
            self._look(journals, signer)
            journal = journals[0]
            todo = [part for part in self.parts if part.number not in journal.parts]
            places = outputs.assign(outs, [(part.number, part.size) for part in todo])
            outputs.take(journals)
            reused = len(self.parts) - len(todo)
            run = _Run(self, journal, advance, with_pieces=signer is not None)
            for part in self.parts:
                run.part(part, places.get(part.number))
            index = self._index(journal, signer)
            outputs.write_index(outs, index, signer)
            return Packed(index, reused)

    def check(self, outs: Sequence[Path], signer: Signer | None = None) -> None:
        """Whether these directories may be written to, found out without a change to them.

        Raises ForeignBundle, BadValue.
        """
        found = (Journal.seen(out, self.subject, self.fingerprint) for out in self._places(outs))
        if journals := list(found):
            self._look(journals, signer)

    def _places(self, outs: Sequence[Path]) -> list[Path]:
        """Each directory once. Raises BadValue."""
        outs = list({out.resolve(): out for out in outs}.values())
        if inside := [out for out in outs if self.source.holds(out)]:
            raise BadValue(what="--out", value=str(inside[0]), why="it is inside the source")
        return outs

    def _look(self, journals: Sequence[Journal], signer: Signer | None) -> None:
        """Raises ForeignBundle, BadValue."""
        for one in journals:
            one.adopt(self._kept, ours=self.adds)
        outputs.look(journals, [*self._kept, *self.parts])
        if any(part.number not in journals[0].parts for part in self.parts):
            outputs.require_seal([one.folder for one in journals], signer)

    @property
    def _kept(self) -> Sequence[Part]:
        return self.before.parts if self.before else ()

    def _elsewhere(self) -> Elsewhere | None:
        """Raises SourceChanged when a file that is left out is another one by now."""
        known = self.before.base if self.before else None
        if self.base is None:
            return known
        for file in self.files:
            if file.path in self.there and not self.source.is_unchanged(file):
                raise SourceChanged(path=file.path, source=self.source)
        ours = self.base.elsewhere(one.digest for one in self.there.values())
        return ours.beside(known) if known else ours

    def _parts(self, journal: Journal) -> tuple[Part, ...]:
        written = tuple(
            Part(
                plan.number,
                plan.size,
                journal.parts[plan.number],
                tuple(
                    Extent(
                        piece.member,
                        journal.files[piece.path].digest,
                        piece.offset,
                        piece.length,
                        piece.at,
                    )
                    for piece in plan.slices
                ),
            )
            for plan in self.parts
        )
        return (*self._kept, *written)


class _Run:
    """Goes through the parts in order; keeps the hash of a file that a part's end has cut."""

    def __init__(
        self, writing: Writing, journal: Journal, advance: Advance, *, with_pieces: bool
    ) -> None:
        self._source, self._journal, self._advance = writing.source, journal, advance
        self._with_pieces = with_pieces
        self._files = {file.path: file for file in writing.files}
        self._open: tuple[str, FileHash] | None = None

    def part(self, plan: PartPlan, folder: Path | None) -> None:
        """Write a part into `folder`; None: an earlier run has finished it."""
        if folder is None:
            self._advance(plan.size)
            return
        hashes, ended = dict[str, FileHash](), dict[str, Finished]()
        with PartWriter(folder, plan) as writer, Lanes(4) as lanes:
            for piece in plan.slices:
                writer.header(piece, lanes)
                hashes[piece.path] = self._copy(piece, writer, lanes)
                writer.pad(piece, lanes)
                if len(hashes) == HASHES:
                    lanes.drain()
                    ended |= self._ended(hashes)
            lanes.drain()
            digest = writer.finish(lanes)
        self._journal.add(plan.number, digest, ended | self._ended(hashes))

    def _ended(self, hashes: dict[str, FileHash]) -> dict[str, Finished]:
        """Takes them all out; whose file goes on in the next part is kept as the open one."""
        found = {
            path: finished(self._source, self._files[path], one)
            for path, one in hashes.items()
            if one.is_whole
        }
        hashes.clear()
        return found

    def _copy(self, piece: Slice, writer: PartWriter, lanes: Lanes) -> FileHash:
        file = self._files[piece.path]
        known = self._hash(file, piece.offset, lanes)
        with self._source.open(file, piece.offset) as stream:
            for chunk in self._chunks(file, stream, piece.length):
                lanes.run((writer.write, chunk), (writer.hash, chunk), *known.jobs(chunk))
                self._advance(len(chunk))
        return known

    def _chunks(self, file: SourceFile, stream: IO[bytes], length: int) -> Iterator[bytes]:
        """`length` bytes. Raises SourceChanged when they end early or the file was written to."""
        while length > 0 and (chunk := stream.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk
        if length or not self._source.is_unchanged(file):
            raise SourceChanged(path=file.path, source=self._source)

    def _hash(self, file: SourceFile, offset: int, lanes: Lanes) -> FileHash:
        """The hash of the file's bytes before `offset`: kept, or read again after a resume."""
        if self._open and self._open[0] == file.path and self._open[1].seen == offset:
            return self._open[1]
        known = FileHash(file.size, with_pieces=self._with_pieces)
        self._open = (file.path, known)
        if offset:
            with self._source.open(file) as stream:
                for chunk in self._chunks(file, stream, offset):
                    lanes.run(*known.jobs(chunk))
            lanes.drain()
        return known
