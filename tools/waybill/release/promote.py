"""Promote: what one environment runs becomes what the next one runs, byte for byte.

Bytes first: the target's store gets what it lacks, and every blob is checked there. Then the
target's refs move, by compare-and-swap with what was seen at the start; the pins file is last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.pins import Pin
from waybill.errors import BlobMissing, NothingPinned, UnknownModel, WrongStep
from waybill.manifest import Descriptor
from waybill.release import move
from waybill.release.move import Move
from waybill.store import sync
from waybill.store.base import Advance, no_progress
from waybill.store.layout import Ref, RepoId
from waybill.store.publish import missing
from waybill.store.store import Store
from waybill.store.sync import Copied


@dataclass(frozen=True)
class Step:
    """One model of a promotion: from which store, what the target lacks, and the move."""

    source: Store
    missing: tuple[Descriptor, ...]
    move: Move

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.missing)


@dataclass(frozen=True)
class Promotion:
    """Everything that a promotion will do, decided before anything is written."""

    source: Environment
    target: Environment
    steps: tuple[Step, ...]

    @property
    def bytes(self) -> int:
        """What is to be sent; a blob that several models share is sent once."""
        wanted = {blob.digest: blob.size for step in self.steps for blob in step.missing}
        return sum(wanted.values())


def decide(
    environments: Environments,
    source: str,
    target: str,
    models: Sequence[str] = (),
    *,
    single_writer: bool = False,
) -> Promotion:
    """What to do for these models, or for all that the source pins. Writes nothing.

    Raises UnknownEnvironment, WrongStep, UnknownModel, PinsDiffer, OtherRepo, BlobMissing, Corrupt,
    StoreTooSmall.
    """
    origin, goal = environments[source], environments[target]
    _check_order(environments, source, target)
    pinned = pins.load(origin.pins_path).models
    for model in models:
        if model not in pinned:
            raise UnknownModel(model=model, environment=source)
    stores = origin.connect(), goal.connect(single_writer=single_writer)
    _check_all_pinned(origin, stores[0], pinned)
    chosen = sorted(set(models) or pinned)
    steps = [_step(origin, goal, stores, model, pinned[model]) for model in chosen]
    stores[1].require_room(list({blob.digest: blob for s in steps for blob in s.missing}.values()))
    return Promotion(origin, goal, tuple(steps))


def _check_all_pinned(origin: Environment, store: Store, pinned: Mapping[str, Pin]) -> None:
    """A pins file that was lost must not look like an environment that runs nothing."""
    for _, (repo, ref) in store.ref_keys():
        model = ref.pinned_in(origin.name)
        if model and model not in pinned and (head := store.head(repo, ref)):
            raise move.differ(origin, model, head.record.repo, None, head.commit)
    if not pinned:
        raise NothingPinned(environment=origin.name)


def copy(promotion: Promotion, advance: Advance = no_progress) -> list[Copied]:
    """Copy and check all revisions. Raises BlobMissing, Corrupt."""
    return [_copy(step, advance) for step in promotion.steps]


def _check_order(environments: Environments, source: str, target: str) -> None:
    following = environments.next(source)
    if target != following:
        follows = f"{source} is followed by {following}" if following else f"{source} is the last"
        order = " → ".join(environments)
        raise WrongStep(source=source, target=target, follows=follows, order=order)


def _step(
    origin: Environment, goal: Environment, stores: tuple[Store, Store], model: str, pin: Pin
) -> Step:
    source, target = stores
    revision, repo = pin.stable, RepoId.parse(pin.stable.repo)
    head = source.head(repo, Ref.pin(origin.name, model))
    stands = head.commit if head else None
    if stands != revision.commit:
        raise move.differ(origin, model, revision.repo, revision.commit, stands)
    step = move.decide(goal, target, model, revision)
    move.check_agrees(step)
    manifest = source.manifest(repo, revision.commit)
    move.same_digest(manifest, revision, source)
    wanted = missing(manifest, target)
    for blob in wanted:
        if not source.has(blob):
            needed_by = f"{repo}@{revision.commit}"
            raise BlobMissing(url=source.url, digest=blob.digest, needed_by=needed_by)
    return Step(source, tuple(wanted), step)


def _copy(step: Step, advance: Advance) -> Copied:
    target, revision, repo = step.move.store, step.move.revision, step.move.repo
    return sync.copy_revision(step.source, target, repo, revision.commit, advance)
