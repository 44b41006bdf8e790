"""Bring a whole store, or one repo of it, into another: to move, or to keep a copy elsewhere.

Blobs first, then revisions with all that is said of them, then the records behind each ref, and the
refs last. A ref of the target goes forward along the history that it has in the source; one that
has gone another way stays. What is damaged in the source, or what the target's policy does not
trust, is left out, with what names it, and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain, takewhile

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadValue, RepoNotFound, WaybillError
from waybill.manifest import Descriptor, Manifest
from waybill.sign.trust import Policy
from waybill.store import evidence, layout, sync
from waybill.store.audit import DAMAGE, UNTRUSTED, Inventory, forget_pruned, inventory
from waybill.store.base import Advance, BytesContent, no_progress
from waybill.store.layout import Ref, RepoId
from waybill.store.lease import last_prune, settle
from waybill.store.publish import hold
from waybill.store.record import RECORD_TYPE, Head
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel


class Fate(StrEnum):
    """What becomes of a ref: all but one stay as they are in the target."""

    MOVES = "moves"
    STANDS = "stands"
    AHEAD = "ahead"
    APART = "apart"
    REFUSED = "refused"


@dataclass(frozen=True)
class RefStep:
    """One ref: what the source holds, and what the target held when it was looked at."""

    repo: RepoId
    ref: Ref
    wanted: Head
    held: Head | None
    fate: Fate


@dataclass(frozen=True)
class Mirroring:
    """All that is to be done, decided before anything is written; `wrong`: what -> its error."""

    source: Store
    target: Store
    found: Inventory
    missing: tuple[Descriptor, ...]
    steps: tuple[RefStep, ...]
    wrong: dict[str, WaybillError]
    since: str | None
    """The last prune of the target before it was asked what it has."""

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.missing)


@dataclass(frozen=True)
class Mirrored:
    """What was done. `unaliased`: upstream commits that stand for another packing in the target."""

    revisions: int
    moved: int
    unaliased: tuple[str, ...]
    wrong: dict[str, WaybillError]


def plan(
    source: Store, target: Store, repo: RepoId | None = None, policy: Policy | None = None
) -> Mirroring:
    """Writes nothing. `policy`: whom the target trusts; None lets everything in.

    Raises BadValue for a store and itself, NotAStore, NoConditionalWrites, StoreUnreachable,
    StoreTooSmall, RepoNotFound, and Corrupt for a blob of the target that has a wrong size.
    """
    if source.backend.place == target.backend.place:
        raise BadValue(what="target", value=target.backend.place, why="it is the source")
    target.require_writable()
    wrong: dict[str, WaybillError] = {}
    # Refs before revisions: so what they name is among those, whoever writes meanwhile.
    steps = list(_steps(source, target, repo, wrong))
    found = inventory(source, repo, partial(_judge, policy, source, target))
    steps = [_judged(step, found) for step in steps]
    if repo and not (found.manifests or found.wrong or steps or wrong):
        raise RepoNotFound(repo=repo, url=source.url)
    blobs, since = list(found.blobs.values()), last_prune(target)
    here = parallel(target.has, blobs)
    missing = tuple(blob for blob, there in zip(blobs, here, strict=True) if not there)
    target.require_room(missing)
    return Mirroring(source, target, found, missing, tuple(steps), found.wrong | wrong, since)


def _judge(
    policy: Policy | None, source: Store, target: Store, repo: RepoId, manifest: Manifest
) -> None:
    """As the target's hub will: by what either store has, whenever a certificate ended.

    Raises Unsigned, UntrustedSignature.
    """
    if policy and policy.asks(str(repo)):
        known = (evidence.envelopes(store, repo, manifest.commit) for store in (source, target))
        policy.check(str(repo), manifest.descriptor.digest, chain.from_iterable(known), at=None)


def _judged(step: RefStep, found: Inventory) -> RefStep:
    error = found.wrong.get(f"{step.repo} at {step.wanted.commit}")
    refused = step.fate is Fate.MOVES and isinstance(error, UNTRUSTED)
    return replace(step, fate=Fate.REFUSED) if refused else step


def _steps(
    source: Store, target: Store, repo: RepoId | None, wrong: dict[str, WaybillError]
) -> Iterator[RefStep]:
    for key, (owner, ref) in source.ref_keys(repo):
        try:
            if wanted := source.head(owner, ref):
                held = target.head(owner, ref)
                yield RefStep(owner, ref, wanted, held, _fate(source, target, wanted, held))
        except DAMAGE as error:
            wrong[key] = error


def _fate(source: Store, target: Store, wanted: Head, held: Head | None) -> Fate:
    if held is None:
        return Fate.MOVES
    if held.digest == wanted.digest:
        return Fate.STANDS
    if any(each.digest == held.digest for each in source.chain(wanted)):
        return Fate.MOVES
    ahead = any(each.digest == wanted.digest for each in target.chain(held))
    return Fate.AHEAD if ahead else Fate.APART


def carry_out(mirroring: Mirroring, advance: Advance = no_progress) -> Mirrored:
    """`advance` is told the bytes of what was missing. Raises RefMoved when another was first."""
    lost = _send(mirroring, advance)
    wrong = mirroring.wrong | {str(digest): error for digest, error in lost.items()}
    forget_pruned(mirroring.source, wrong)
    brought = _revisions(mirroring, set(lost), wrong)
    moved = sum(_move(mirroring, step, brought, wrong) for step in mirroring.steps)
    unaliased = sorted(name for names in brought.values() for name in names)
    return Mirrored(len(brought), moved, tuple(unaliased), wrong)


def _send(mirroring: Mirroring, advance: Advance) -> dict[Digest, WaybillError]:
    """Send what is missing; what the source cannot give, with its error."""
    lost: dict[Digest, WaybillError] = {}
    stoppable = Stoppable(advance)

    def send(blob: Descriptor) -> None:
        try:
            sync.send(mirroring.source, mirroring.target, stoppable, blob)
        except DAMAGE as error:
            lost[blob.digest] = error

    parallel(send, mirroring.missing, sync.COPIES, stoppable.stop)
    return lost


def _revisions(
    mirroring: Mirroring, lost: set[Digest], wrong: dict[str, WaybillError]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Repo and commit of each revision that the target has now, and its names that it lacks."""
    source, target, brought = mirroring.source, mirroring.target, {}
    upstreams = _upstreams(source, {RepoId.parse(repo) for repo, _ in mirroring.found.manifests})
    for (repo, commit), manifest in mirroring.found.manifests.items():
        if lost & manifest.blobs.keys():
            continue
        names, name = upstreams[repo, commit], RepoId.parse(repo)
        try:
            brought[repo, commit] = sync.complete(
                source, target, name, manifest, names, mirroring.since
            )
        except DAMAGE as error:
            if source.revision(name, commit):
                wrong[f"{repo} at {commit}"] = error
    return brought


def _upstreams(source: Store, repos: set[RepoId]) -> dict[tuple[str, str], list[str]]:
    """The aliases of each repo and commit."""
    found = defaultdict(list)
    for repo in repos:
        for upstream, commit in source.aliases(repo).items():
            found[str(repo), commit].append(upstream)
    return found


def _move(
    mirroring: Mirroring,
    step: RefStep,
    brought: Container[tuple[str, str]],
    wrong: dict[str, WaybillError],
) -> bool:
    """Bring the records and then the ref; False where it stays."""
    target, commit = mirroring.target, step.wanted.commit
    if step.fate is not Fate.MOVES or target.revision(step.repo, commit) is None:
        return False
    try:
        _bring_records(mirroring.source, target, step)
        if (str(step.repo), commit) not in brought:
            hold(target, step.repo, commit)
    except DAMAGE as error:
        wrong[f"{step.ref} of {step.repo}"] = error
        return False
    target.adopt(step.repo, step.ref, step.wanted, step.held)
    return True


def _bring_records(source: Store, target: Store, step: RefStep) -> None:
    """Also those that are there: no ref names them yet, so they must be young."""
    held = step.held.digest if step.held else None
    chain = takewhile(lambda one: one.digest != held, source.chain(step.wanted))
    bring_records(target, [source.read(each.digest) for each in chain][::-1])


def bring_records(target: Store, records: Sequence[bytes]) -> None:
    """Steps for a ref that is to be adopted afterwards, the oldest first. Raises BeingPruned."""

    def write() -> None:
        for data in records:
            target.upload(Descriptor.of(data, RECORD_TYPE), BytesContent(data), replace=True)

    settle(target, write, [layout.blob(digests.of(data)) for data in records])
