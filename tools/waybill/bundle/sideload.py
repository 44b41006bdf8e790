"""Sideloading: from a bundle's parts, or a source, into a store: streamed, checked, resumable.

Nothing is written to scratch. The store checks every blob before it is visible; revisions
come after their blobs, and the ref moves last.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from threading import BoundedSemaphore

from waybill import digest as digests
from waybill.bundle.cargo import Cargo, Load
from waybill.bundle.format import Revision
from waybill.digest import PIECE, Digest
from waybill.errors import Corrupt, RefMoved, Unreadable
from waybill.manifest import STATEMENT_TYPE, Descriptor
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.trust import Policy
from waybill.store import layout
from waybill.store.base import Advance, Content, no_progress
from waybill.store.layout import Ref, RepoId
from waybill.store.lease import last_prune
from waybill.store.publish import Publication, Resend, damaged, mend, publish
from waybill.store.record import Head
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

_log = logging.getLogger("waybill.store")
_BLOBS_AT_ONCE = 4
_CORES = os.cpu_count() or 1
_FEW = 1_000
"""As many as S3 lists in one answer."""


class Check(StrEnum):
    """What is done about blobs that are there: believed, read back, read back and replaced."""

    PRESENT = "present"
    DEEP = "deep"
    REPAIR = "repair"


@dataclass(frozen=True)
class Decision:
    """Which refs move to the bundle's revisions, and what the history says about it."""

    refs: tuple[Ref, ...]
    by: str
    why: str


@dataclass(frozen=True)
class Loaded:
    """One revision that is in the store now. `notes` say what a person should know."""

    repo: str
    commit: str
    moved: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Loading:
    """What will be sent: the blobs that the store lacks."""

    cargo: Cargo
    store: Store
    missing: tuple[Descriptor, ...]
    damaged: frozenset[Digest]
    """Those of the missing that are there, and not as they should be."""
    rotten: tuple[str, ...]
    """What else is not as it should be: keys of manifests, statements and the like."""
    check: Check
    heads: dict[tuple[str, Ref], Head | None]
    decision: Decision
    since: str | None
    """The last prune of the store before it was asked what it has."""

    @classmethod
    def plan(
        cls,
        cargo: Cargo,
        store: Store,
        decision: Decision,
        check: Check = Check.PRESENT,
        advance: Advance = no_progress,
        policy: Policy | None = None,
    ) -> Loading:
        """Ask the store what it has; a deep check reads it back, and tells `advance`.

        Raises Unsigned, UntrustedSignature, StoreTooSmall, Corrupt, and what the cargo lacks.
        """
        cargo = cargo.trust(policy)
        store.require_writable()
        wanted = {d: blob for one in cargo.revisions for d, blob in one.manifest.blobs.items()}
        since = last_prune(store)
        look = _Present(store, check, Stoppable(advance), _listed(store, wanted))
        good = parallel(look, wanted.values(), 16, look.advance.stop)
        missing = tuple(b for b, is_good in zip(wanted.values(), good, strict=True) if not is_good)
        cargo.require(store, missing)
        store.require_room(missing, look.damaged)
        rotten = _rotten(cargo.revisions, store, check)
        heads = {
            (str(one.repo), ref): store.head(one.repo, ref)
            for one in cargo.revisions
            for ref in decision.refs
        }
        damaged = frozenset(look.damaged)
        return cls(cargo, store, missing, damaged, rotten, check, heads, decision, since)

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(blob.size for blob in self.missing)

    def run(self, advance: Advance = no_progress) -> list[Loaded]:
        """Raises Corrupt, StoreFull, StoreUnreachable, RefMoved; a rerun goes on."""
        stoppable = Stoppable(advance)
        cargo = self.cargo.stoppable(stoppable)

        def send(hashing: BoundedSemaphore, blob: Descriptor) -> None:
            content, replace = cargo.content(blob.digest), blob.digest in self.damaged
            with hashing if _is_hashed_again(content) else nullcontext():
                stoppable(0)
                self._upload(blob, content, stoppable, replace)

        def send_all(blobs: Sequence[Descriptor]) -> None:
            cargo.require(self.store, blobs)
            for batch in cargo.batches(blobs):
                hashing = BoundedSemaphore(max(_CORES, cargo.devices(batch)))
                parallel(partial(send, hashing), batch, _BLOBS_AT_ONCE, stoppable.stop)

        with self.store.backend.loading():
            send_all(self.missing)
            return [self._finish(revision, send_all) for revision in cargo.revisions]

    def _upload(self, blob: Descriptor, content: Load, advance: Advance, replace: bool) -> None:
        try:
            self.store.upload(blob, content, advance, replace, content.blame)
        except (Corrupt, Unreadable) as error:
            if (other := content.other) is None:
                raise
            _log.warning("%s; another copy is read", error)
            # Told of all that is sent, so that it keeps to a rate.
            self._upload(blob, other, advance, replace)

    def _finish(self, revision: Revision, resend: Resend) -> Loaded:
        repo, what = revision.repo, _publication(revision)
        if self.rotten:
            mend(self.store, what)
        notes = [
            f"the upstream commit {name} stands for another packing of it already"
            for name in publish(self.store, what, resend, self.since)
        ]
        moved = []
        for ref in self.decision.refs:
            if elsewhere := self._stays(repo, ref, what.manifest.commit):
                notes.append(f"{ref} stays at {elsewhere}: --repair moves no ref that is there")
            else:
                self._move(revision, ref)
                moved.append(str(ref))
        return Loaded(str(repo), what.manifest.commit, tuple(moved), tuple(notes))

    def _stays(self, repo: RepoId, ref: Ref, commit: str) -> str | None:
        """Where: who repairs an older revision has not decided that it is to be served."""
        seen = self.heads[str(repo), ref]
        stays = self.check is Check.REPAIR and seen is not None and seen.commit != commit
        return seen.commit if seen and stays else None

    def _move(self, revision: Revision, ref: Ref) -> None:
        repo, commit = revision.repo, revision.manifest.commit
        seen, said = self.heads[str(repo), ref], self.decision
        try:
            self.store.move(repo, ref, commit, expected=seen, by=said.by, why=said.why)
        except RefMoved:
            # Another sideload of the same bundle was first: it stands where we want it.
            now = self.store.head(repo, ref)
            if now is None or now.commit != commit:
                raise


def _publication(revision: Revision) -> Publication:
    said = [(data, STATEMENT_TYPE) for data in revision.statements]
    said += [(data, ENVELOPE_TYPE) for data in revision.signatures]
    upstreams = {revision.upstream or revision.manifest.commit} - {revision.manifest.commit}
    return Publication(revision.repo, revision.manifest, tuple(said), tuple(upstreams))


def _rotten(revisions: Sequence[Revision], store: Store, check: Check) -> tuple[str, ...]:
    """Raises Corrupt where damage is not to be repaired."""
    if check is Check.PRESENT:
        return ()
    found: dict[str, bytes] = {}
    for one in revisions:
        found |= damaged(store, _publication(one))
    if check is Check.DEEP:
        for key, data in found.items():
            store.compare(key, data, store.backend.read(key))
    return tuple(found)


def _is_hashed_again(content: Content) -> bool:
    """Whether an interruption costs another reading of what was sent of it. Of such, no more are
    begun than cores can hash and devices can give."""
    return content.rereadable and content.pieces is None and content.size > PIECE


def _listed(store: Store, wanted: Collection[Digest]) -> Collection[Digest]:
    """Of what is wanted, all that may be there: few are asked for one by one, many are looked up
    in a list."""
    if len(wanted) <= _FEW:
        return wanted
    there = (stat.key.rsplit("/", 1)[1] for stat in store.backend.list(layout.BLOBS))
    return {digest for name in there if (digest := digests.from_hex(name)) in wanted}


@dataclass
class _Present:
    """Whether a blob need not be sent. Raises Corrupt where damage is not to be repaired."""

    store: Store
    check: Check
    advance: Stoppable
    listed: Collection[Digest]
    damaged: set[Digest] = field(default_factory=set)

    def __call__(self, blob: Descriptor) -> bool:
        if blob.digest not in self.listed:
            return False
        try:
            if not self.store.has(blob):
                return False
            if self.check is not Check.PRESENT:
                self.store.verify(blob, self.advance)
        except Corrupt:
            if self.check is not Check.REPAIR:
                raise
            self.damaged.add(blob.digest)
        return blob.digest not in self.damaged
