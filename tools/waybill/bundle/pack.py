"""Packing: from a source to a bundle, each byte read once, resumed at the last finished part.

The state of unfinished work is a journal beside the parts. A part appears under its name
only when it is complete and on disk; bundle.json comes last, so where it is, all is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from waybill import digest as digests
from waybill.bundle import outputs
from waybill.bundle.base import Base
from waybill.bundle.cut import PART_SIZE, PartPlan, Slice, cut
from waybill.bundle.format import Blob, Elsewhere, Extent, Index, Part
from waybill.bundle.journal import Finished, Journal
from waybill.bundle.lanes import FileHash, Lanes
from waybill.bundle.statements import repo_of, revision_of
from waybill.bundle.upstream import finished
from waybill.bundle.writer import PartWriter
from waybill.digest import CHUNK
from waybill.errors import BadValue, SourceChanged
from waybill.manifest import File, Manifest, canonical
from waybill.sign.keys import Signer
from waybill.source.base import Origin, Source, SourceFile
from waybill.source.select import Choice, Selection, select
from waybill.store.base import Advance, no_progress
from waybill.store.layout import RepoId


@dataclass(frozen=True)
class Packed:
    """A finished bundle. `reused`: parts that an earlier run had finished."""

    index: Index
    reused: int


@dataclass
class Packing:
    """What is going to be packed, known before a byte is read."""

    source: Source
    origin: Origin
    repo: RepoId
    selection: Selection
    parts: Sequence[PartPlan]
    part_size: int
    base: Base | None = None
    there: Mapping[str, Finished] = field(default_factory=dict)
    """The files that the base has, by path: they are left out."""

    @classmethod
    def plan(
        cls,
        source: Source,
        repo: RepoId | None = None,
        *,
        part_size: int = PART_SIZE,
        allow_pickle: bool = False,
        choice: Choice = Choice(),  # noqa: B008 - it is frozen
        base: Base | None = None,
        advance: Advance = no_progress,
    ) -> Packing:
        """With a base, files that may be the same are read; `advance` is told their bytes.

        Raises BadValue, NothingToPack, PickleRefused, UnsafePath, SourceUnreachable, SourceChanged.
        """
        origin = source.origin
        repo = repo_of(origin, repo)
        files = source.files()
        selection = select(files, str(source), allow_pickle=allow_pickle, choice=choice)
        there = base.holding(source, selection.kept, advance) if base else {}
        sizes = [(file.path, file.size) for file in selection.kept if file.path not in there]
        parts = cut(sizes, str(repo), part_size)
        return cls(source, origin, repo, selection, parts, part_size, base, there)

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    @cached_property
    def fingerprint(self) -> str:
        """Differs when another run would write other parts."""
        files = [[file.path, file.size, file.stamp] for file in self.selection.kept]
        facts: list[Any] = [str(self.repo), self.origin.source, self.origin.commit]
        facts += [self.part_size, files]
        if self.base:
            facts += [self.base.name, sorted(self.there)]
        return digests.of(canonical(facts))

    def run(
        self, outs: Sequence[Path], advance: Advance = no_progress, signer: Signer | None = None
    ) -> Packed:
        """Write the bundle into the directories of `outs`, each filled in turn, and sign it.

        Raises MediaFull before the first byte, ForeignBundle, BeingPacked, SourceChanged, Corrupt.
        """
        outs = list({out.resolve(): out for out in outs}.values())
        if inside := [out for out in outs if self.source.holds(out)]:
            raise BadValue(what="--out", value=str(inside[0]), why="it is inside the source")
        subject = f"{self.repo} from {self.source}"
        with ExitStack() as stack:
            opened = (Journal.open(out, subject, self.fingerprint) for out in outs)
            journals = [stack.enter_context(journal) for journal in opened]
            outputs.look(journals, self.parts)
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

    def _index(self, journal: Journal, signer: Signer | None) -> Index:
        files = {**journal.files, **self.there}
        manifest = Manifest.of(
            File(file.path, files[file.path].digest, file.size, files[file.path].git_oid)
            for file in self.selection.kept
        )
        blobs = {
            files[file.path].digest: Blob(file.size, files[file.path].pieces)
            for file in self.selection.kept
            if file.path not in self.there
        }
        dropped = self.selection.dropped
        revision = revision_of(self.repo, manifest, self.origin, dropped, signer)
        return Index(self.part_size, (revision,), blobs, self._parts(journal), self._elsewhere())

    def _elsewhere(self) -> Elsewhere | None:
        """Raises SourceChanged when a file that is left out is another one by now."""
        if self.base is None:
            return None
        for file in self.selection.kept:
            if file.path in self.there and not self.source.is_unchanged(file):
                raise SourceChanged(path=file.path, source=self.source)
        return self.base.elsewhere(one.digest for one in self.there.values())

    def _parts(self, journal: Journal) -> tuple[Part, ...]:
        return tuple(
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


class _Run:
    """Goes through the parts in order; keeps the hash of a file that a part's end has cut."""

    def __init__(
        self, packing: Packing, journal: Journal, advance: Advance, *, with_pieces: bool
    ) -> None:
        self._source, self._journal, self._advance = packing.source, journal, advance
        self._with_pieces = with_pieces
        self._files = {file.path: file for file in packing.selection.kept}
        self._open: tuple[str, FileHash] | None = None

    def part(self, plan: PartPlan, folder: Path | None) -> None:
        """Write a part into `folder`; None: an earlier run has finished it."""
        if folder is None:
            self._advance(plan.size)
            return
        hashes: dict[str, FileHash] = {}
        with PartWriter(folder, plan) as writer, Lanes(4) as lanes:
            for piece in plan.slices:
                writer.header(piece, lanes)
                hashes[piece.path] = self._copy(piece, writer, lanes)
                writer.pad(piece, lanes)
            lanes.drain()
            digest = writer.finish(lanes)
        ended = {
            path: finished(self._source, self._files[path], one)
            for path, one in hashes.items()
            if _is_whole(one)
        }
        self._journal.add(plan.number, digest, ended)

    def _copy(self, piece: Slice, writer: PartWriter, lanes: Lanes) -> FileHash:
        file = self._files[piece.path]
        known = self._hash(file, piece.offset, lanes)
        with self._source.open(file, piece.offset) as stream:
            for chunk in self._chunks(file, stream, piece.length):
                lanes.run(
                    (writer.write, chunk),
                    (writer.hash, chunk),
                    (known.update_whole, chunk),
                    (known.update_pieces, chunk),
                )
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
                    lanes.run((known.update_whole, chunk), (known.update_pieces, chunk))
            lanes.drain()
        return known


def _is_whole(known: FileHash) -> bool:
    return known.seen == known.size
