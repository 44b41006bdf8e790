"""Copy a revision from store to store: only what is missing, verified on the way, never a ref."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO

from waybill.errors import Corrupt
from waybill.manifest import Descriptor, Manifest
from waybill.store import layout
from waybill.store.base import Advance, no_progress
from waybill.store.layout import RepoId
from waybill.store.lease import last_prune
from waybill.store.publish import Publication, mend, missing, publish
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

    def blame(self, error: Corrupt) -> Corrupt:
        what = f"{self.blob.digest} in {self.store.backend.place}"
        return Corrupt(**{**error.facts, "what": what})


@dataclass(frozen=True)
class Copied:
    """What a copy did: blobs and bytes sent, blobs skipped because the target had them.

    `unaliased` are upstream commits that stand for another packing in the target.
    """

    blobs: int
    bytes: int
    skipped: int
    unaliased: tuple[str, ...] = ()


def copy_revision(
    source: Store, target: Store, repo: RepoId, commit: str, advance: Advance = no_progress
) -> Copied:
    """Blobs first, then manifest and revision, statements, aliases; moving a ref is up to others.

    `advance` is told the bytes of what was missing. Raises RepoNotFound or RevisionNotFound;
    BlobMissing or Corrupt, which name the source and leave the target without the revision.
    """
    manifest, since = source.manifest(repo, commit), last_prune(target)
    wanted = missing(manifest, target)
    with source.backend.loading(), target.backend.loading():
        send_all(source, target, wanted, advance)
        upstreams = [name for name, known in source.aliases(repo).items() if known == commit]
        unaliased = complete(source, target, repo, manifest, upstreams, since)
    sent = sum(blob.size for blob in wanted)
    return Copied(len(wanted), sent, len(manifest.blobs) - len(wanted), unaliased)


def complete(
    source: Store,
    target: Store,
    repo: RepoId,
    manifest: Manifest,
    upstreams: Sequence[str],
    since: str | None,
) -> tuple[str, ...]:
    """Make a revision known whose blobs the target has, and what is said about it.

    `since` is as for `publish`. Those of `upstreams` that stand for another packing in the target.
    """
    statements = tuple(
        (source.read(blob.digest), blob.media_type)
        for blob in source.referrers(repo, manifest.commit)
    )
    what = Publication(repo, manifest, statements, tuple(upstreams))
    resend = partial(send_all, source, target)
    try:
        return publish(target, what, resend, since)
    except Corrupt:
        # What the target has of it in a wrong way is here as it should be.
        mend(target, what)
        return publish(target, what, resend, since)


def send_all(
    source: Store, target: Store, blobs: Sequence[Descriptor], advance: Advance = no_progress
) -> None:
    """Raises BlobMissing or Corrupt, which name the source."""
    stoppable = Stoppable(advance)
    parallel(partial(send, source, target, stoppable), blobs, COPIES, stoppable.stop)


def send(
    source: Store, target: Store, advance: Advance, blob: Descriptor, replace: bool = False
) -> None:
    """By the server itself where it can. Raises BlobMissing or Corrupt, which say where."""
    if not replace and target.copy(blob, source, advance):
        return
    content = StoreContent(source, blob)
    target.upload(blob, content, advance, replace, content.blame)
