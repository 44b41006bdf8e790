"""A source as a cargo: straight into a store, with no bundle between.

Names and checks need digests before the first byte is sent. What the source names none of is read
twice, once to know it and once to send it; nothing is copied to scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import IO

from waybill import digest as digests
from waybill.bundle.format import Revision
from waybill.bundle.journal import Finished
from waybill.bundle.lanes import FileHash
from waybill.bundle.statements import repo_of, revision_of
from waybill.bundle.upstream import finished
from waybill.digest import Digest
from waybill.errors import Corrupt, SourceChanged, WaybillError
from waybill.manifest import TEXT_LIMIT, Descriptor, File, Manifest
from waybill.sign import trust
from waybill.sign.keys import Signer
from waybill.sign.trust import Policy
from waybill.source.base import Source, SourceFile
from waybill.source.select import Choice, Selection, select
from waybill.store.base import Advance, Limited, no_progress
from waybill.store.layout import RepoId
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

_FILES_AT_ONCE = 4


@dataclass(frozen=True)
class SourceContent:
    """A file's bytes as its source streams them (a `store.base.Content`)."""

    source: Source
    file: SourceFile
    pieces: None = None
    other: None = None

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def rereadable(self) -> bool:
        return self.source.local

    def open(self, offset: int, length: int) -> IO[bytes]:
        return Limited(self.source.open(self.file, offset), length)  # type: ignore[return-value]

    def blame(self, error: Corrupt) -> WaybillError:
        try:
            _unchanged(self.source, self.file)
        except SourceChanged as changed:
            return changed
        return Corrupt(**{**error.facts, "what": f"{self.file.path} from {self.source}"})


@dataclass(frozen=True)
class SourceCargo:
    """The files of a source that are wanted, as one revision."""

    source: Source
    selection: Selection
    revision: Revision
    known: dict[str, Finished]

    @classmethod
    def plan(
        cls,
        source: Source,
        repo: RepoId | None = None,
        *,
        allow_pickle: bool = False,
        choice: Choice = Choice(),  # noqa: B008 - it is frozen
        signer: Signer | None = None,
        look: Callable[[RepoId, int], None] = lambda _repo, _size: None,
        advance: Advance = no_progress,
    ) -> SourceCargo:
        """Reads what the source names no digest of, and all small files; `advance` is told.

        Before that `look` is told how many bytes there are, and may raise.

        The revision is the same one that packing would make. Raises BadValue, NothingToPack,
        PickleRefused, UnsafePath, SourceUnreachable, SourceChanged, Corrupt.
        """
        origin = source.origin
        repo = repo_of(origin, repo)
        selection = select(source.files(), str(source), allow_pickle=allow_pickle, choice=choice)
        look(repo, sum(file.size for file in selection.kept))
        read = _Known(source, Stoppable(advance))
        known = dict[str, Finished]()
        for files in _batches(selection.kept):
            found = parallel(read, files, _FILES_AT_ONCE, read.advance.stop)
            known |= {file.path: each for file, each in zip(files, found, strict=True)}
        manifest = Manifest.of(
            File(file.path, known[file.path].digest, file.size, known[file.path].git_oid)
            for file in selection.kept
        )
        revision = revision_of(repo, manifest, origin, selection.dropped, signer)
        return cls(source, selection, revision, known)

    @property
    def revisions(self) -> Sequence[Revision]:
        return (self.revision,)

    @cached_property
    def _files(self) -> dict[Digest, SourceFile]:
        return {self.known[file.path].digest: file for file in self.selection.kept}

    def content(self, blob: Digest) -> SourceContent:
        return SourceContent(self.source, self._files[blob])

    def trust(self, policy: Policy | None) -> SourceCargo:
        if policy:
            one = self.revision
            digest = one.manifest.descriptor.digest
            policy.check(str(one.repo), digest, one.signatures, trust.now())
        return self

    def require(self, store: Store, missing: Sequence[Descriptor]) -> None:  # noqa: ARG002
        """Raises SourceChanged when a file is another one than it was."""
        for blob in missing:
            _unchanged(self.source, self._files[blob.digest])

    def batches(self, missing: Iterable[Descriptor]) -> Iterator[Sequence[Descriptor]]:
        blobs = {self._files[blob.digest].path: blob for blob in missing}
        files = sorted((self._files[blob.digest] for blob in missing), key=lambda file: file.path)
        yield from ([blobs[file.path] for file in batch] for batch in _batches(files))

    def devices(self, _: Iterable[Descriptor], /) -> int:
        return 1

    def stoppable(self, advance: Advance) -> SourceCargo:  # noqa: ARG002 - it waits for nobody
        return self


def _unchanged(source: Source, file: SourceFile) -> None:
    if not source.is_unchanged(file):
        raise SourceChanged(path=file.path, source=source)


def _batches(files: Sequence[SourceFile]) -> Iterator[Sequence[SourceFile]]:
    """Those of one batch may be read at once."""
    yield [file for file in files if file.turn is None]
    in_turn = [(file.turn, file) for file in files if file.turn]
    yield from ([file] for _, file in sorted(in_turn, key=itemgetter(0)))


@dataclass(frozen=True)
class _Known:
    """What has to be known of a file. Reads those that need it."""

    source: Source
    advance: Stoppable

    def __call__(self, file: SourceFile) -> Finished:
        if file.digest and file.size > TEXT_LIMIT:
            return Finished(file.digest, (), None)
        found = FileHash(file.size)
        with self.source.open(file) as stream:
            for chunk in digests.chunks(stream):
                found.update_whole(chunk)
                self.advance(len(chunk))
        if found.seen != file.size or not self.source.is_unchanged(file):
            raise SourceChanged(path=file.path, source=self.source)
        return finished(self.source, file, found)
