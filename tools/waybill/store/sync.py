"""Copy a revision from store to store: only what is missing, verified on the way, never a ref."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import IO

from waybill.errors import Corrupt
from waybill.manifest import Descriptor, Manifest
from waybill.store import layout
from waybill.store.base import Advance, no_progress
from waybill.store.layout import RepoId
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

COPIES = 2
"""Blobs at once; of each a backend may hold 64 MiB that come over a network."""


@dataclass(frozen=True)
class StoreContent:
    """The content of a blob that lies in a store."""

    store: Store
    blob: Descriptor
    pieces: None = None

    @property
    def size(self) -> int:
        return self.blob.size

    @property
    def rereadable(self) -> bool:
        """A local file comes from the page cache the second time; a network does not."""
        return self.store.backend.local_path(layout.blob(self.blob.digest)) is not None

    def open(self, offset: int, length: int) -> IO[bytes]:
        return self.store.open(self.blob, offset, length)


@dataclass(frozen=True)
class Copied:
    """What a copy did: blobs and bytes sent, blobs skipped because the target had them.

    `unaliased` are upstream commits that stand for another packing in the target.
    """

    blobs: int
    bytes: int
    skipped: int
    unaliased: tuple[str, ...] = ()


def missing(manifest: Manifest, store: Store) -> list[Descriptor]:
    """The contents of a revision that `store` lacks. Raises Corrupt for a wrong size."""
    blobs = list(manifest.blobs.values())
    return [blob for blob, here in zip(blobs, parallel(store.has, blobs), strict=True) if not here]


def copy_revision(
    source: Store, target: Store, repo: RepoId, commit: str, advance: Advance = no_progress
) -> Copied:
    """Blobs first, then manifest and revision, statements, aliases; moving a ref is up to others.

    `advance` is told the bytes of what was missing. Raises RepoNotFound or RevisionNotFound;
    BlobMissing or Corrupt, which name the source and leave the target without the revision.
    """
    manifest = source.manifest(repo, commit)
    wanted = missing(manifest, target)
    stoppable = Stoppable(advance)
    parallel(partial(send, source, target, stoppable), wanted, COPIES, stoppable.stop)
    complete(source, target, repo, manifest)
    sent = sum(blob.size for blob in wanted)
    unaliased = _copy_aliases(source, target, repo, commit)
    return Copied(len(wanted), sent, len(manifest.blobs) - len(wanted), unaliased)


def complete(source: Store, target: Store, repo: RepoId, manifest: Manifest) -> None:
    """Make a revision known whose blobs the target has, and what is said about it."""
    commit = manifest.commit
    statements = [(blob, source.read(blob.digest)) for blob in source.referrers(repo, commit)]
    target.add_revision(repo, manifest)
    for blob, data in statements:
        target.add_referrer(repo, commit, data, blob.media_type)


def send(source: Store, target: Store, advance: Advance, blob: Descriptor) -> None:
    """Raises BlobMissing or Corrupt, which name the source."""
    try:
        target.upload(blob, StoreContent(source, blob), advance)
    except Corrupt as error:
        facts = {**error.facts, "what": f"{blob.digest} in {source.url}"}
        raise Corrupt(**facts) from error


def _copy_aliases(source: Store, target: Store, repo: RepoId, commit: str) -> tuple[str, ...]:
    ours = [upstream for upstream, known in source.aliases(repo).items() if known == commit]
    return tuple(name for name in ours if not target.add_alias(repo, name, commit))
