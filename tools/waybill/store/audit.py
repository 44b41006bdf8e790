"""Reading a store back: is every byte that its revisions name there, and right?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import (
    BadFile,
    BadValue,
    BlobMissing,
    Corrupt,
    RepoNotFound,
    RevisionNotFound,
    UnsafePath,
    Unsigned,
    UntrustedSignature,
    WaybillError,
)
from waybill.manifest import CONFIG_TYPE, Descriptor, Manifest
from waybill.store import layout
from waybill.store.base import Advance, no_progress
from waybill.store.layout import RepoId
from waybill.store.record import Head, named
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

DAMAGE = (BadFile, BadValue, BlobMissing, Corrupt, RepoNotFound, RevisionNotFound, UnsafePath)
"""What is wrong with the store, not with the way to it."""
UNTRUSTED = (Unsigned, UntrustedSignature)
"""What a trust policy refuses."""


@dataclass
class Audit:
    """`wrong`: what -> its error."""

    revisions: int = 0
    blobs: int = 0
    bytes: int = 0
    wrong: dict[str, WaybillError] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """Every revision of a store, or of one repo, and the distinct blobs behind them."""

    manifests: dict[tuple[str, str], Manifest]
    statements: dict[tuple[str, str], list[Descriptor]]
    blobs: dict[Digest, Descriptor]
    wrong: dict[str, WaybillError]

    @property
    def size(self) -> int:
        return sum(blob.size for blob in self.blobs.values())

    def files(self, digest: str) -> list[str]:
        """Where this content is a file: `path of owner/name at commit`."""
        return [
            f"{file.path} of {repo} at {commit}"
            for (repo, commit), manifest in self.manifests.items()
            for file in manifest.files
            if file.digest == digest
        ]


def inventory(
    store: Store,
    repo: RepoId | None = None,
    judge: Callable[[RepoId, Manifest], None] = lambda _, __: None,
) -> Inventory:
    """Raises StoreUnreachable and its like; damaged manifests go to `wrong`.

    So does what `judge` raises Unsigned or UntrustedSignature for. What is pruned meanwhile is not
    there.
    """
    _ = store.facts
    keys = [stat.key for stat in store.backend.list(layout.repo(repo) if repo else layout.REPOS)]
    places = {key: place for key in keys if (place := layout.parse_revision(key))}
    said = _said(keys)

    def look(key: str) -> tuple[Manifest, list[Descriptor]] | WaybillError | None:
        place = places[key]
        try:
            manifest = store.manifest(*place)
            judge(place[0], manifest)
            return manifest, [
                blob for one in said.get(place, ()) if (blob := store.descriptor(one))
            ]
        except (*DAMAGE, *UNTRUSTED) as error:
            return error if store.backend.stat(key) else None

    found = Inventory({}, {}, {}, {})
    for (owner, commit), seen in zip(places.values(), parallel(look, places), strict=True):
        if isinstance(seen, WaybillError):
            found.wrong[f"{owner} at {commit}"] = seen
        elif seen:
            _add(found, (str(owner), commit), *seen)
    return found


def _said(keys: Sequence[str]) -> dict[tuple[RepoId, str], list[str]]:
    """The keys of the statements about each revision."""
    found = defaultdict(list)
    for key in keys:
        match layout.parse_said(key):
            case repo, commit, statement if statement:
                found[repo, commit].append(key)
    return found


def _add(
    found: Inventory, place: tuple[str, str], manifest: Manifest, statements: list[Descriptor]
) -> None:
    found.manifests[place], found.statements[place] = manifest, statements
    config = Descriptor.of(manifest.config, CONFIG_TYPE)
    found.blobs.update(manifest.blobs | {config.digest: config})
    found.blobs.update({blob.digest: blob for blob in statements})


def audit(store: Store, found: Inventory, advance: Advance = no_progress) -> Audit:
    """Read every blob back, and every record behind every ref."""
    wrong = dict(found.wrong)
    stoppable = Stoppable(advance)

    def check(blob: Descriptor) -> None:
        try:
            store.verify(blob, stoppable)
        except DAMAGE as error:
            wrong[blob.digest] = error

    parallel(check, found.blobs.values(), 4, stoppable.stop)
    forget_pruned(store, wrong)
    _audit_refs(store, wrong)
    return Audit(len(found.manifests), len(found.blobs), found.size, wrong)


def forget_pruned(store: Store, wrong: dict[str, WaybillError]) -> None:
    """What is missing and no revision names any more was pruned meanwhile."""
    missing = {what for what, error in wrong.items() if isinstance(error, BlobMissing)}
    if missing:
        for what in missing - inventory(store).blobs.keys():
            if digests.is_digest(what):
                del wrong[what]


def _audit_refs(store: Store, wrong: dict[str, WaybillError]) -> None:
    for key, (repo, ref) in store.ref_keys():
        try:
            head = store.head(repo, ref)
            if head and store.revision(repo, head.commit) is None:
                raise store.not_found(repo, head.commit)
            # What the ref held before may have been pruned; that it held it may not be forgotten.
            for each in store.chain(head):
                _audit_step(store, each)
        except DAMAGE as error:
            wrong[key] = error


def _audit_step(store: Store, head: Head) -> None:
    """Of what came across a gap, plans and evidence may have stayed behind."""
    for digest in named(head):
        with suppress(BlobMissing):
            store.read(digest)
