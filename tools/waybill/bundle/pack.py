"""Packing: from a source into a bundle, as one revision of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from waybill import digest as digests
from waybill.bundle.base import Base
from waybill.bundle.cut import PART_SIZE, cut
from waybill.bundle.format import INDEX, Blob, Index
from waybill.bundle.journal import Journal
from waybill.bundle.statements import repo_of, revision_of
from waybill.bundle.writing import Packed as Packed
from waybill.bundle.writing import Writing
from waybill.digest import Digest
from waybill.errors import BadValue, WaybillError
from waybill.manifest import File, Manifest, canonical
from waybill.sign.keys import Signer
from waybill.source.base import Origin, Source
from waybill.source.select import Choice, Selection, select
from waybill.store.base import Advance, no_progress
from waybill.store.layout import RepoId


@dataclass(kw_only=True)
class Packing(Writing):
    """What is going to be packed, known before a byte is read."""

    origin: Origin
    repo: RepoId
    selection: Selection
    moved: frozenset[Digest] = frozenset()
    """Manifests of a plan that goes along: where there are any, this has to be one of them."""

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
        there, sizes = cls.lacking(source, selection.kept, base, advance)
        parts = cut(sizes, str(repo), part_size)
        return cls(
            source=source,
            files=selection.kept,
            parts=parts,
            part_size=part_size,
            base=base,
            there=there,
            origin=origin,
            repo=repo,
            selection=selection,
        )

    @property
    def subject(self) -> str:
        return f"{self.repo} from {self.source}"

    @cached_property
    def fingerprint(self) -> str:
        """Differs when another run would write other parts."""
        files = [[file.path, file.size, file.stamp] for file in self.selection.kept]
        facts: list[Any] = [str(self.repo), self.origin.source, self.origin.commit]
        facts += [self.part_size, files]
        if self.base:
            facts += [self.base.name, sorted(self.there)]
        return digests.of(canonical(facts))

    def _index(self, journal: Journal, signer: Signer | None) -> Index:
        files = {**journal.files, **self.there}
        manifest = Manifest.of(
            File(file.path, files[file.path].digest, file.size, files[file.path].git_oid)
            for file in self.selection.kept
        )
        if self.moved and manifest.descriptor.digest not in self.moved:
            why = "it is not what the plan has moved; without a source that comes from its target"
            raise BadValue(what="source", value=str(self.source), why=why)
        blobs = {
            files[file.path].digest: Blob(file.size, files[file.path].pieces)
            for file in self.selection.kept
            if file.path not in self.there
        }
        dropped = self.selection.dropped
        earlier = _signatures(journal.folder)
        revision = revision_of(self.repo, manifest, self.origin, dropped, signer, earlier)
        return Index(self.part_size, (revision,), blobs, self._parts(journal), self._elsewhere())


def _signatures(folder: Path) -> Iterator[bytes]:
    """Those in the bundle that lies there; one that cannot be read has none."""
    with suppress(OSError, WaybillError):
        data = (folder / INDEX).read_bytes()
        for one in Index.parse(data, str(folder / INDEX)).revisions:
            yield from one.signatures
