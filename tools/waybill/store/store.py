"""A store of model revisions over any backend: what `layout` draws, with its rules.

Write order: blobs, manifest, revision, referrers, alias, and the ref last. So a crash between
any two steps leaves the old state working, and the same call again finishes the job.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import (
    BadFile,
    BadValue,
    Corrupt,
    NoConditionalWrites,
    NotAStore,
    RefMoved,
    RepoNotFound,
    RevisionNotFound,
    StoreFormatUnknown,
    StoreTooSmall,
)
from waybill.manifest import CONFIG_TYPE, MANIFEST_TYPE, Descriptor, Manifest, canonical
from waybill.store import layout
from waybill.store.base import Backend, Stat
from waybill.store.blobs import Blobs
from waybill.store.layout import Ref, RepoId
from waybill.store.record import RECORD_TYPE, Head, Record
from waybill.store.work import parallel

FORMAT = 1


class Store(Blobs):
    """Repos, revisions, refs and blobs. Cheap to make; nothing is read before it is needed."""

    def __init__(
        self, backend: Backend, *, single_writer: bool = False, capacity: int | None = None
    ) -> None:
        super().__init__(backend)
        self._capacity = capacity
        self._single_writer = single_writer

    # The store itself.

    def init(self) -> dict[str, Any]:
        """Write store.json once, after a probe of the server; return what it holds."""
        if (found := self.backend.read(layout.STORE)) is None:
            conditional = self.backend.probe()
            facts = {"format": FORMAT, "id": str(uuid.uuid4()), "conditionalWrites": conditional}
            self.backend.create(layout.STORE, canonical(facts))
            found = self.backend.read(layout.STORE)
        return self._facts(found)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """store.json. Raises NotAStore or StoreFormatUnknown."""
        return self._facts(self.backend.read(layout.STORE))

    @property
    def _opened(self) -> Backend:
        """The backend, once store.json has said that it is a store we understand."""
        _ = self.facts
        return self.backend

    def require_writable(self) -> None:
        """Raises NoConditionalWrites before any work is done in vain."""
        if not (self.facts["conditionalWrites"] or self._single_writer):
            raise NoConditionalWrites(url=self.url, what="moving a ref")

    def require_room(self, blobs: Sequence[Descriptor], damaged: Container[Digest] = ()) -> None:
        """Raises StoreTooSmall when the blobs cannot fit, as far as server and people say.

        Those that are `damaged` take the place of what is there.
        """
        in_place = damaged if self.backend.in_place else ()
        needed = sum(blob.size for blob in blobs if blob.digest not in in_place)
        room = self.backend.room(blobs)
        if self._capacity is not None:
            # Not uploads begun, which count as needed, nor what others keep beside the store.
            kept = chain.from_iterable(map(self._opened.list, layout.KEPT))
            left = self._capacity - sum(stat.size for stat in kept)
            room = max(0, left if room is None else min(room, left))
        if room is not None and needed > room:
            raise StoreTooSmall(url=self.url, room=f"{room:,}", needed=f"{needed:,}")

    def _facts(self, data: bytes | None) -> dict[str, Any]:
        if data is None:
            raise NotAStore(url=self.url)
        with self._readable(layout.STORE):
            facts: dict[str, Any] = json.loads(data)
            if (found := facts["format"]) != FORMAT:
                raise StoreFormatUnknown(url=self.url, found=found, known=FORMAT)
            facts["conditionalWrites"] = bool(facts["conditionalWrites"])
        return facts

    # Revisions.

    def manifest(self, repo: RepoId, commit: str) -> Manifest:
        """Raises RepoNotFound, RevisionNotFound, BlobMissing or Corrupt."""
        blob = self.revision(repo, commit)
        if blob is None:
            raise self.not_found(repo, commit)
        manifest = Manifest.parse(self.read(blob.digest), self._name(blob.digest))
        if manifest.commit != commit:
            what = f"the revision {commit} of {repo} in {self.url}"
            raise Corrupt(what=what, expected=commit, found=manifest.commit)
        return manifest

    def revision(self, repo: RepoId, commit: str) -> Descriptor | None:
        """The descriptor of a revision's manifest."""
        return self.descriptor(layout.revision(repo, commit))

    def descriptor(self, key: str) -> Descriptor | None:
        """What the key of a revision or of a statement holds."""
        data = self._opened.read(key)
        with self._readable(key):
            return Descriptor.from_json(json.loads(data)) if data is not None else None

    def add_revision(self, repo: RepoId, manifest: Manifest) -> None:
        """Make a revision known; all its blobs must be here already."""
        self.write(manifest.config, CONFIG_TYPE)
        self.write(manifest.data, MANIFEST_TYPE)
        self.keep(layout.revision(repo, manifest.commit), manifest.descriptor.data)

    def revisions(self, repo: RepoId) -> list[str]:
        """All commits of a repo, in no meaningful order."""
        named = map(layout.parse_revision, self._keys(layout.revisions(repo)))
        return [place[1] for place in named if place]

    def alias(self, repo: RepoId, upstream: str) -> str | None:
        """Our commit for an upstream commit."""
        key = layout.alias(repo, upstream)
        if (data := self._opened.read(key)) is None:
            return None
        with self._readable(key):
            return digests.parse_commit(data.decode().strip())

    def add_alias(self, repo: RepoId, upstream: str, commit: str) -> bool:
        """False when the upstream commit already stands for another packing of it."""
        if self._opened.create(layout.alias(repo, upstream), alias_of(commit)):
            return True
        return self.alias(repo, upstream) == commit

    def aliases(self, repo: RepoId) -> dict[str, str]:
        """Upstream commit -> our commit."""
        named = map(layout.parse_said, self._keys(layout.aliases(repo)))
        names = [said[1] for said in named if said]
        commits = parallel(partial(self.alias, repo), names)
        return {name: commit or "" for name, commit in zip(names, commits, strict=True)}

    def referrers(self, repo: RepoId, commit: str) -> list[Descriptor]:
        """Statements about a revision."""
        return self.descriptors(stat.key for stat in self.said(repo, commit))

    def said(self, repo: RepoId, commit: str, most: int | None = None) -> list[Stat]:
        """Where they are named, before any is read; no more of them than that are looked at."""
        found = self._opened.list(layout.referrers(repo, commit))
        return list(islice((stat for stat in found if layout.parse_said(stat.key)), most))

    def _keys(self, prefix: str) -> Iterator[str]:
        return (stat.key for stat in self._opened.list(prefix))

    def descriptors(self, keys: Iterable[str]) -> list[Descriptor]:
        """What keys of statements hold, of those that are still there."""
        return [blob for blob in parallel(self.descriptor, keys) if blob]

    def add_referrer(self, repo: RepoId, commit: str, data: bytes, media_type: str) -> None:
        blob = self.write(data, media_type)
        self.keep(layout.referrer(repo, commit, blob.digest), blob.data)

    # Refs.

    def head(self, repo: RepoId, ref: Ref) -> Head | None:
        """What the ref holds now."""
        return self._head(layout.ref(repo, ref))

    def _head(self, key: str) -> Head | None:
        if (data := self._opened.read(key)) is None:
            return None
        with self._readable(key):
            digest = digests.parse(data.decode().strip())
        record = self._record(digest)
        if record.key != key:
            raise BadFile(path=f"{self.url}/{key}", why=f"it holds a record of {record.ref}")
        return Head(digest, record)

    def _record(self, digest: Digest) -> Record:
        with self._readable(layout.blob(digest)):
            return Record.parse(self.read(digest))

    @contextmanager
    def _readable(self, key: str) -> Iterator[None]:
        """What has a form of ours raises BadFile when it does not fit it."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadValue) as error:
            raise BadFile(path=f"{self.url}/{key}", why=f"it is damaged ({error!r})") from error

    def move(
        self,
        repo: RepoId,
        ref: Ref,
        commit: str,
        *,
        expected: Head | None,
        by: str,
        why: str,
        plan: str | None = None,
        evidence: Sequence[str] = (),
        hold: bool | None = None,
    ) -> Head:
        """Point a ref at a commit by compare-and-swap. Raises RefMoved, NoConditionalWrites.

        `expected` is what the caller saw when it decided, and None for `hold` leaves that as it
        is. A ref that already stands there is left alone, so a rerun adds nothing to the history.
        """
        held = expected is not None and expected.record.hold
        hold = held if hold is None else hold
        if expected is not None and (expected.commit, held) == (commit, hold):
            return expected
        self.require_writable()
        record = Record(
            repo=str(repo),
            ref=str(ref),
            commit=commit,
            previous=expected.digest if expected else None,
            by=by,
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            why=why,
            plan=plan,
            evidence=tuple(evidence),
            hold=hold,
        )
        blob = self.write(record.data, RECORD_TYPE)
        head = Head(blob.digest, record)
        self.adopt(repo, ref, head, expected)
        return head

    def adopt(self, repo: RepoId, ref: Ref, head: Head, expected: Head | None) -> None:
        """Point a ref at a record that is here. Raises RefMoved, NoConditionalWrites."""
        self.require_writable()
        old = _line(expected.digest) if expected else None
        if not self._opened.replace(layout.ref(repo, ref), _line(head.digest), old):
            raise RefMoved(repo=repo, ref=ref)

    def history(self, repo: RepoId, ref: Ref) -> Iterator[Record]:
        """The records behind a ref, newest first."""
        return (each.record for each in self.chain(self.head(repo, ref)))

    def chain(self, head: Head | None) -> Iterator[Head]:
        """What a ref held, one before the other, from `head` on."""
        while head is not None:
            yield head
            previous = head.record.previous
            head = self._past(digests.parse(previous)) if previous else None

    def _past(self, digest: Digest) -> Head:
        return Head(digest, self._record(digest))

    def refs(self, repo: RepoId | None = None) -> dict[tuple[str, Ref], Head]:
        """Every ref of a repo, or of the whole store, by (repo as spelled, ref)."""
        found = {}
        for key, (_, ref) in self.ref_keys(repo):
            if head := self._head(key):
                found[head.record.repo, ref] = head
        return found

    def ref_keys(self, repo: RepoId | None = None) -> Iterator[tuple[str, tuple[RepoId, Ref]]]:
        """Keys and names of refs, unread; what strangers left below `refs/` is passed over."""
        for stat in self._opened.list(layout.refs(repo) if repo else layout.REFS):
            if named := layout.parse_ref(stat.key):
                yield stat.key, named

    def resolve(self, repo: RepoId, revision: str) -> str:
        """The commit of a commit, alias, branch or tag. Raises Repo- or RevisionNotFound."""
        if digests.is_commit(revision):
            if self.revision(repo, revision):
                return revision
            if commit := self.alias(repo, revision):
                return commit
            raise self.not_found(repo, revision)
        for ref in layout.named_by(revision):
            if head := self.head(repo, ref):
                return head.commit
        raise self.not_found(repo, revision)

    def not_found(self, repo: RepoId, revision: str) -> NotAStore | RepoNotFound | RevisionNotFound:
        """Why there is no such revision, asked anew: a disk that went away takes all with it."""
        if self.backend.read(layout.STORE) is None:
            return NotAStore(url=self.url)
        if any(True for _ in self.backend.list(layout.revisions(repo))):
            return RevisionNotFound(repo=repo, revision=revision, url=self.url)
        return RepoNotFound(repo=repo, url=self.url)


def alias_of(commit: str) -> bytes:
    """What the key of an alias holds."""
    return commit.encode() + b"\n"


def _line(digest: Digest) -> bytes:
    return digest.encode() + b"\n"
