"""Making a revision known, and holding one that is known, so that a ref may move to it.

Whoever moves a ref calls one of these before: what `waybill.store.lease` promises to writers is
kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from waybill import digest as digests
from waybill.errors import BadFile, BlobMissing
from waybill.manifest import Descriptor, Manifest
from waybill.store import layout
from waybill.store.base import BytesContent
from waybill.store.layout import RepoId
from waybill.store.lease import settle
from waybill.store.store import Store, alias_of
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
        return [*self._said(), *(layout.alias(self.repo, upstream) for upstream in self.upstreams)]

    def contents(self) -> dict[str, bytes]:
        """What `write` writes, aliases aside: key -> what it holds for ever."""
        own = (self.manifest.config, self.manifest.data)
        return {layout.blob(digests.of(data)): data for data in own} | self._said()

    def _said(self) -> dict[str, bytes]:
        repo, manifest = self.repo, self.manifest
        found = {layout.revision(repo, manifest.commit): manifest.descriptor.data}
        for data, media_type in self.statements:
            blob = Descriptor.of(data, media_type)
            found[layout.blob(blob.digest)] = data
            found[layout.referrer(repo, manifest.commit, blob.digest)] = blob.data
        return found


def damaged(store: Store, what: Publication) -> dict[str, bytes]:
    """What the store has of it and holds otherwise: key -> what it should hold."""
    wanted = what.contents()
    found = zip(wanted, parallel(store.backend.read, wanted), strict=True)
    wrong = [key for key, held in found if held not in (wanted[key], None)]
    return {key: wanted[key] for key in wrong} | {
        layout.alias(what.repo, name): alias_of(what.manifest.commit)
        for name in what.upstreams
        if not _is_readable(store, what.repo, name)
    }


def _is_readable(store: Store, repo: RepoId, upstream: str) -> bool:
    try:
        store.alias(repo, upstream)
    except BadFile:
        return False
    return True


def mend(store: Store, what: Publication) -> None:
    """Write anew what is damaged."""
    for key, data in damaged(store, what).items():
        if layout.is_blob(key):
            store.upload(Descriptor.of(data, ""), BytesContent(data), replace=True)
        else:
            store.backend.replace(key, data, store.backend.read(key))


def publish(
    store: Store, what: Publication, resend: Resend, since: str | None = None
) -> tuple[str, ...]:
    """Make a revision known whose blobs were sent. A ref may move to it afterwards.

    `since`: what `last_prune` said before anybody asked for the blobs; while it says so, they are
    there. Returns the upstream commits that stand for another packing. Raises BeingPruned, Corrupt
    for what is there and damaged, and what `resend` does.
    """
    manifest, keys = what.manifest, list({*what.contents(), *what.keys()})
    while True:
        last = settle(store, partial(what.write, store), keys)
        untouched = last is not None and last == since
        if untouched or not (gone := missing(manifest, store)):
            names = what.upstreams
            return tuple(name for name in names if store.alias(what.repo, name) != manifest.commit)
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
    data = manifest.descriptor.data
    return store.backend.replace(layout.revision(repo, manifest.commit), data, data)
