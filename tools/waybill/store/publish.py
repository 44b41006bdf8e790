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


@dataclass(frozen=True)
class Publication:
    """A revision and what is said of it.

    `statements` are contents with their media types, `upstreams` the commits that it stands for.
    """

    repo: RepoId
    manifest: Manifest
    statements: tuple[tuple[bytes, str], ...] = ()
    upstreams: tuple[str, ...] = ()

    def write(self, store: Store) -> None:
        repo, commit = self.repo, self.manifest.commit
        store.add_revision(repo, self.manifest)
        _renew(store, repo, self.manifest)
        for data, media_type in self.statements:
            store.add_referrer(repo, commit, data, media_type)
        for upstream in self.upstreams:
            store.add_alias(repo, upstream, commit)

    def keys(self, aliased: Sequence[str]) -> list[str]:
        """All that `write` makes."""
        repo, commit = self.repo, self.manifest.commit
        statements = [digests.of(data) for data, _ in self.statements]
        config = digests.of(self.manifest.config)
        return [
            layout.revision(repo, commit),
            *map(layout.blob, (self.manifest.descriptor.digest, config, *statements)),
            *(layout.referrer(repo, commit, digest) for digest in statements),
            *(layout.alias(repo, upstream) for upstream in aliased),
        ]


def publish(
    store: Store, what: Publication, resend: Resend, since: str | None = None
) -> tuple[str, ...]:
    """Make a revision known whose blobs were sent. A ref may move to it afterwards.

    `since`: what `last_prune` said before anybody asked for the blobs; while it says so, they are
    there. Returns the upstream commits that stand for another packing. Raises BeingPruned, and what
    `resend` does.
    """
    commit = what.manifest.commit
    while True:
        what.write(store)
        known = {name: store.alias(what.repo, name) in (None, commit) for name in what.upstreams}
        aliased = [name for name, ours in known.items() if ours]
        last = settle(store, partial(what.write, store), what.keys(aliased))
        untouched = last is not None and last == since
        if untouched or not (gone := missing(what.manifest, store)):
            return tuple(name for name, ours in known.items() if not ours)
        # It may take long, and then the revision is not as young as it has to be.
        resend(gone)


def hold(store: Store, repo: RepoId, commit: str) -> Manifest:
    """A revision that is there already, for a ref that is to move to it.

    Raises RepoNotFound, RevisionNotFound, BlobMissing, Corrupt, BeingPruned.
    """
    manifest = store.manifest(repo, commit)

    def write() -> None:
        if not _renew(store, repo, manifest):
            raise store.not_found(repo, commit)

    settle(store, write, [layout.revision(repo, commit)])
    return complete(store, repo, commit)


def complete(store: Store, repo: RepoId, commit: str) -> Manifest:
    """The manifest, once every blob is known to be there and checked.

    Raises RepoNotFound, RevisionNotFound, BlobMissing, Corrupt.
    """
    manifest = store.manifest(repo, commit)
    for blob in missing(manifest, store)[:1]:
        raise BlobMissing(url=store.url, digest=blob.digest, needed_by=f"{repo}@{commit}")
    return manifest


def missing(manifest: Manifest, store: Store) -> list[Descriptor]:
    """The contents of a revision that `store` lacks. Raises Corrupt for a wrong size."""
    blobs = list(manifest.blobs.values())
    return [blob for blob, here in zip(blobs, parallel(store.has, blobs), strict=True) if not here]


def _renew(store: Store, repo: RepoId, manifest: Manifest) -> bool:
    """Write the revision again, so that it is young."""
    data = canonical(manifest.descriptor.as_json())
    return store.backend.replace(layout.revision(repo, manifest.commit), data, data)
