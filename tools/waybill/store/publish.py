"""Making a revision known, and holding one that is known, so that a ref may move to it.

Whoever moves a ref calls one of these before: what `waybill.store.lease` promises to writers is
kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from waybill import digest as digests
from waybill.errors import BlobMissing
from waybill.manifest import Descriptor, Manifest, canonical
from waybill.store import layout
from waybill.store.layout import RepoId
from waybill.store.lease import settle
from waybill.store.store import Store
from waybill.store.work import parallel

Resend = Callable[[Sequence[Descriptor]], object]
"""Sends blobs that a prune has taken away."""
Statements = tuple[tuple[bytes, str], ...]
"""Contents with their media types."""


@dataclass(frozen=True)
class Publication:
    """A revision and what is said of it.

    `upstreams` are the commits that it stands for.
    """

    repo: RepoId
    manifest: Manifest
    statements: Statements = ()
    upstreams: tuple[str, ...] = ()

    def write(self, store: Store) -> None:
        store.add_revision(self.repo, self.manifest)
        _renew(store, self.repo, self.manifest)
        self.say(store)

    def say(self, store: Store) -> None:
        """All but the revision itself."""
        repo, commit = self.repo, self.manifest.commit
        parallel(lambda said: store.add_referrer(repo, commit, *said), self.statements)
        for upstream in self.upstreams:
            store.add_alias(repo, upstream, commit)

    def keys(self) -> list[str]:
        """What has to be there after `say`; an alias may be that of another revision."""
        repo, commit = self.repo, self.manifest.commit
        statements = [digests.of(data) for data, _ in self.statements]
        return [
            layout.revision(repo, commit),
            *map(layout.blob, statements),
            *(layout.referrer(repo, commit, digest) for digest in statements),
            *(layout.alias(repo, upstream) for upstream in self.upstreams),
        ]


def publish(
    store: Store, what: Publication, resend: Resend, since: str | None = None
) -> tuple[str, ...]:
    """Make a revision known whose blobs were sent. A ref may move to it afterwards.

    `since`: what `last_prune` said before anybody asked for the blobs; while it says so, they are
    there. Returns the upstream commits that stand for another packing. Raises BeingPruned, and what
    `resend` does.
    """
    repo, manifest = what.repo, what.manifest
    own = [manifest.descriptor.digest, digests.of(manifest.config)]
    keys = what.keys() + [layout.blob(digest) for digest in own]
    while True:
        last = settle(store, partial(what.write, store), keys)
        untouched = last is not None and last == since
        if untouched or not (gone := missing(manifest, store)):
            names = what.upstreams
            return tuple(name for name in names if store.alias(repo, name) != manifest.commit)
        # It may take long, and then the revision is not as young as it has to be.
        resend(gone)


def hold(store: Store, repo: RepoId, commit: str, statements: Statements = ()) -> Manifest:
    """A revision that is there already, for a ref that is to move to it, or for what is said of it.

    Raises RepoNotFound, RevisionNotFound, BlobMissing, Corrupt, BeingPruned.
    """
    what = Publication(repo, store.manifest(repo, commit), statements)

    def write() -> None:
        # Never made anew: who only holds it has no blobs to send.
        if not _renew(store, repo, what.manifest):
            raise store.not_found(repo, commit)
        what.say(store)

    settle(store, write, what.keys())
    return complete(store, repo, commit)


def complete(store: Store, repo: RepoId, commit: str) -> Manifest:
    """The manifest, once it and the files' blobs are known to be there and checked.

    Raises RepoNotFound, RevisionNotFound, BlobMissing, Corrupt.
    """
    manifest = store.manifest(repo, commit)
    for blob in _lacking(store, [manifest.descriptor, *manifest.blobs.values()])[:1]:
        raise BlobMissing(url=store.url, digest=blob.digest, needed_by=f"{repo}@{commit}")
    return manifest


def missing(manifest: Manifest, store: Store) -> list[Descriptor]:
    """The contents of a revision that `store` lacks. Raises Corrupt for a wrong size."""
    return _lacking(store, list(manifest.blobs.values()))


def _lacking(store: Store, blobs: Sequence[Descriptor]) -> list[Descriptor]:
    return [blob for blob, here in zip(blobs, parallel(store.has, blobs), strict=True) if not here]


def _renew(store: Store, repo: RepoId, manifest: Manifest) -> bool:
    """Write the revision again, so that it is young."""
    data = canonical(manifest.descriptor.as_json())
    return store.backend.replace(layout.revision(repo, manifest.commit), data, data)
