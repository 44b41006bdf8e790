"""Revisions as the hub reads them: commits are kept in memory, branches and tags never.

What is in memory was trusted by the policy that it is kept with: under a new one all is read anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from waybill.digest import is_commit
from waybill.errors import RevisionNotFound
from waybill.hub.threads import Threads
from waybill.hub.tree import Tree
from waybill.manifest import Manifest
from waybill.sign.trust import Policy
from waybill.store import evidence, layout
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Head
from waybill.store.store import Store

FILES_IN_MEMORY = 100_000
"""Files of all manifests together that are kept: about 200 MB when all of it is used."""

Key = tuple[Policy | None, str, str]
"""Under which policy, of which repo, what was asked for (40 hex)."""


@dataclass(frozen=True)
class Snapshot:
    """What is immutable about a revision. `repo` is the id as the store's records spell it."""

    repo: str
    manifest: Manifest
    tree: Tree


@dataclass(frozen=True)
class Revision:
    """A snapshot under the id it was asked for: our commit, or an upstream one.

    `moved_at` is when a branch or tag came to stand here; None when asked for by commit.
    """

    sha: str
    snapshot: Snapshot
    moved_at: str | None = None

    @property
    def repo(self) -> str:
        return self.snapshot.repo

    @property
    def manifest(self) -> Manifest:
        return self.snapshot.manifest

    @property
    def tree(self) -> Tree:
        return self.snapshot.tree


class Recent:
    """Snapshots by what was asked for, the least recently used dropped beyond `capacity` files."""

    def __init__(self, capacity: int) -> None:
        self._capacity, self._held = capacity, 0
        self._entries: OrderedDict[Key, Snapshot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Snapshot | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: Key, snapshot: Snapshot) -> None:
        if key in self._entries:
            return
        self._entries[key] = snapshot
        self._held += len(snapshot.manifest.files)
        while self._held > self._capacity and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._held -= len(dropped.manifest.files)


class Revisions:
    """Reads revisions through the memory; only ever used from one event loop."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        capacity: int = FILES_IN_MEMORY,
        policy: Callable[[], Policy | None] = lambda: None,
    ) -> None:
        self._store, self._threads, self._policy = store, threads, policy
        self._recent = Recent(capacity)
        self._loading: dict[Key, asyncio.Task[Snapshot]] = {}

    async def get(self, repo: RepoId, revision: str) -> Revision:
        """Raises RepoNotFound, RevisionNotFound, Unsigned, UntrustedSignature, or what the store
        raises."""
        policy = self._policy()
        if is_commit(revision):
            return Revision(revision, await self._snapshot(policy, repo, revision))
        head = await self._threads.ask(self._head, repo, revision)
        snapshot = await self._snapshot(policy, repo, head.commit)
        return Revision(head.commit, snapshot, head.record.at)

    async def refs(self, repo: RepoId) -> dict[Ref, Head]:
        """All refs of a repo, read now. Raises RepoNotFound, or what the store raises."""
        return await self._threads.ask(self._refs, repo)

    async def _snapshot(self, policy: Policy | None, repo: RepoId, asked: str) -> Snapshot:
        """From memory, else loaded once however many ask for it at the same time."""
        key = (policy, repo.key, asked)
        if found := self._recent.get(key):
            return found
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(policy, repo, asked))
            self._loading[key] = task
            task.add_done_callback(lambda done: self._loaded(key, done))
        return await asyncio.shield(task)

    def _loaded(self, key: Key, task: asyncio.Task[Snapshot]) -> None:
        del self._loading[key]
        # Asking for the exception marks it as seen: those who wanted it may have gone away.
        if not task.cancelled() and task.exception() is None:
            self._recent.put(key, task.result())

    async def _load(self, policy: Policy | None, repo: RepoId, asked: str) -> Snapshot:
        commit = await self._threads.ask(self._commit, repo, asked)
        if commit != asked:
            return await self._snapshot(policy, repo, commit)
        return await self._threads.ask(self._read, policy, repo, commit)

    def _commit(self, repo: RepoId, asked: str) -> str:
        return self._store.resolve(repo, asked)

    def _read(self, policy: Policy | None, repo: RepoId, commit: str) -> Snapshot:
        manifest = self._store.manifest(repo, commit)
        # No time is asked for: what was let in does not stop on the day a certificate ends.
        digest = manifest.descriptor.digest
        evidence.require_trust(policy, self._store, repo, digest, commit, at=None)
        return Snapshot(self._spelling(repo), manifest, Tree(manifest))

    def _spelling(self, repo: RepoId) -> str:
        """The id as the first ref's newest record spells it, else as it was asked for."""
        for _, (_, ref) in self._store.ref_keys(repo):
            if head := self._store.head(repo, ref):
                return head.record.repo
        return str(repo)

    def _head(self, repo: RepoId, revision: str) -> Head:
        """Raises RepoNotFound or RevisionNotFound."""
        for ref in layout.named_by(revision):
            if head := self._store.head(repo, ref):
                return head
        raise self._store.not_found(repo, revision)

    def _refs(self, repo: RepoId) -> dict[Ref, Head]:
        found = {ref: head for (_, ref), head in self._store.refs(repo).items()}
        if not found:
            missing = self._store.not_found(repo, "main")
            if not isinstance(missing, RevisionNotFound):
                raise missing
        return found
