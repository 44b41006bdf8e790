"""Bring a whole store, or one repo of it, into another: to move, or to keep a copy elsewhere.

Blobs first, then revisions with all that is said of them, then the records behind each ref, and the
refs last. A ref of the target goes forward along the history that it has in the source; one that
has gone another way stays. What is damaged in the source, or what the target's policy does not
trust, is left out, with what names it, and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain, takewhile

from waybill.digest import Digest
from waybill.errors import BadValue, Corrupt, RepoNotFound, WaybillError
from waybill.manifest import Descriptor, Manifest
from waybill.sign.trust import Policy
from waybill.store import evidence, past, sync
from waybill.store.audit import DAMAGE, UNTRUSTED, Inventory, forget_pruned, inventory
from waybill.store.base import Advance, no_progress
from waybill.store.layout import Ref, RepoId
from waybill.store.lease import last_prune
from waybill.store.listing import Listing
from waybill.store.publish import hold
from waybill.store.record import Head
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
    damaged: frozenset[Digest]
    """Those of the missing that the target has, of another size."""
    steps: tuple[RefStep, ...]
    wrong: dict[str, WaybillError]
    since: str | None
    """The last prune of the target before it was asked what it has."""
    before: Listing
    """What the target had then."""

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
    StoreTooSmall, RepoNotFound.
    """
    if source.backend.place == target.backend.place:
        raise BadValue(what="target", value=target.backend.place, why="it is the source")
    target.require_writable()
    wrong: dict[str, WaybillError] = {}
    # Refs before revisions: so what they name is among those, whoever writes meanwhile.
    steps = _steps(source, target, repo, wrong)
    found = inventory(source, repo, partial(_judge, policy, source, target))
    steps = [_judged(step, found) for step in steps]
    if repo and not (found.manifests or found.wrong or steps or wrong):
        raise RepoNotFound(repo=repo, url=source.url)
    since = last_prune(target)
    before = Listing.of(target, repo)
    missing, damaged = _missing(target, found, before)
    target.require_room(missing, damaged)
    wrong = found.wrong | wrong
    return Mirroring(source, target, found, missing, damaged, tuple(steps), wrong, since, before)


def _missing(
    target: Store, found: Inventory, before: Listing
) -> tuple[tuple[Descriptor, ...], frozenset[Digest]]:
    """Asks for each blob that no revision there names: nobody may have looked at it."""
    damaged = set[Digest]()
    known = {
        blob
        for place, manifest in found.manifests.items()
        for blob in before.named(RepoId.parse(place[0]), manifest, found.statements[place])
    }

    def there(blob: Descriptor) -> bool:
        try:
            return (blob in known and before.has(blob)) or target.has(blob)
        except Corrupt:
            damaged.add(blob.digest)
            return False

    looked = zip(found.blobs.values(), parallel(there, found.blobs.values()), strict=True)
    return tuple(blob for blob, is_there in looked if not is_there), frozenset(damaged)


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
) -> list[RefStep]:
    def step(place: tuple[str, tuple[RepoId, Ref]]) -> RefStep | None:
        key, (owner, ref) = place
        try:
            if wanted := source.head(owner, ref):
                held = target.head(owner, ref)
                return RefStep(owner, ref, wanted, held, _fate(source, target, wanted, held))
        except DAMAGE as error:
            wrong[key] = error
        return None

    return [one for one in parallel(step, source.ref_keys(repo)) if one]


def _fate(source: Store, target: Store, wanted: Head, held: Head | None) -> Fate:
    if held is None:
        return Fate.MOVES
    if held.digest == wanted.digest:
        return Fate.STANDS
    if any(each.digest == held.digest for each in source.chain(wanted)):
        return Fate.MOVES
    if any(each.digest == wanted.digest for each in target.chain(held)):
        return Fate.AHEAD
    alike = (held.commit, held.record.hold) == (wanted.commit, wanted.record.hold)
    return Fate.STANDS if alike else Fate.APART


def carry_out(mirroring: Mirroring, advance: Advance = no_progress) -> Mirrored:
    """`advance` is told the bytes of what was missing. Raises RefMoved when another was first."""
    with mirroring.source.backend.loading(), mirroring.target.backend.loading():
        return _carry_out(mirroring, advance)


def _carry_out(mirroring: Mirroring, advance: Advance) -> Mirrored:
    lost = _send(mirroring, advance)
    wrong = mirroring.wrong | {str(digest): error for digest, error in lost.items()}
    forget_pruned(mirroring.source, wrong)
    brought = _revisions(mirroring, lost, wrong)
    moved = sum(_move(mirroring, step, brought, wrong) for step in mirroring.steps)
    parallel(partial(_mend, mirroring, wrong), mirroring.steps)
    unaliased = sorted(name for names in brought.values() for name in names)
    return Mirrored(len(brought), moved, tuple(unaliased), wrong)


def _send(mirroring: Mirroring, advance: Advance) -> dict[Digest, WaybillError]:
    """Send what is missing; what the source cannot give, with its error."""
    lost: dict[Digest, WaybillError] = {}
    stoppable, damaged = Stoppable(advance), mirroring.damaged

    def send(blob: Descriptor) -> None:
        try:
            sync.send(mirroring.source, mirroring.target, stoppable, blob, blob.digest in damaged)
        except DAMAGE as error:
            lost[blob.digest] = error

    parallel(send, mirroring.missing, sync.COPIES, stoppable.stop)
    return lost


def _revisions(
    mirroring: Mirroring, lost: Mapping[Digest, WaybillError], wrong: dict[str, WaybillError]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Repo and commit of each revision that the target has now, and its names that it lacks."""
    source, target, found = mirroring.source, mirroring.target, mirroring.found
    upstreams = _upstreams(source, {RepoId.parse(repo) for repo, _ in found.manifests})
    stands = _standing(mirroring, upstreams)

    def bring(place: tuple[str, str]) -> tuple[str, ...] | None:
        (owner, commit), manifest, names = place, found.manifests[place], upstreams.get(place, ())
        repo = RepoId.parse(owner)
        try:
            if place in stands:
                return tuple(name for name in names if target.alias(repo, name) != commit)
            return sync.complete(source, target, repo, manifest, names, mirroring.since)
        except DAMAGE as error:
            if source.revision(repo, commit):
                wrong[f"{repo} at {commit}"] = error
            return None

    for (owner, commit), each in found.manifests.items():
        # What was pruned meanwhile is lost, and nothing wrong.
        for digest in lost.keys() & each.blobs.keys() & wrong.keys():
            wrong[f"{owner} at {commit}"] = lost[digest]
    places = [
        place for place, each in found.manifests.items() if not lost.keys() & each.blobs.keys()
    ]
    done = zip(places, parallel(bring, places), strict=True)
    return {place: names for place, names in done if names is not None}


def _standing(
    mirroring: Mirroring, upstreams: Mapping[tuple[str, str], Sequence[str]]
) -> set[tuple[str, str]]:
    """Revisions that the target has as the source does, and to which no ref is to move.

    Those need no lock and no second look: it is for the target to say how long it keeps them.
    """
    if mirroring.since is None or last_prune(mirroring.target) != mirroring.since:
        return set()
    moving = {
        (str(step.repo), step.wanted.commit) for step in mirroring.steps if step.fate is Fate.MOVES
    }
    found = mirroring.found
    return {
        place
        for place, manifest in found.manifests.items()
        if place not in moving
        and mirroring.before.is_whole(
            RepoId.parse(place[0]), manifest, found.statements[place], upstreams.get(place, ())
        )
    }


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
    """Bring the steps and then the ref; False where it stays."""
    target, commit = mirroring.target, step.wanted.commit
    if step.fate is Fate.MOVES and (error := wrong.get(f"{step.repo} at {commit}")):
        wrong[f"{step.ref} of {step.repo}"] = error
    if step.fate is not Fate.MOVES:
        return False
    try:
        if target.revision(step.repo, commit) is None:
            return False
        held = step.held.digest if step.held else None
        steps = takewhile(lambda one: one.digest != held, mirroring.source.chain(step.wanted))
        past.bring_steps(mirroring.source, target, list(steps))
        if (str(step.repo), commit) not in brought:
            hold(target, step.repo, commit)
    except DAMAGE as error:
        wrong[f"{step.ref} of {step.repo}"] = error
        return False
    target.adopt(step.repo, step.ref, step.wanted, step.held)
    return True


def _mend(mirroring: Mirroring, wrong: dict[str, WaybillError], step: RefStep) -> None:
    """Bring what the target has lost of what refs held before."""
    source, target = mirroring.source, mirroring.target
    try:
        past.mend(source, target, source.chain(_common(step)), mirroring.before.sizes)
    except DAMAGE as error:
        wrong[f"{step.ref} of {step.repo}"] = error


def _common(step: RefStep) -> Head | None:
    """Where the history begins, going back, that both stores tell alike."""
    if step.fate is Fate.MOVES:
        return step.held
    stands = step.held is not None and step.held.digest == step.wanted.digest
    return step.wanted if stands or step.fate is Fate.AHEAD else None
