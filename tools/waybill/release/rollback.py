"""Roll back: an earlier commit of a pin's history becomes the stable one again; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from waybill import digest as digests
from waybill.deliver import pins
from waybill.deliver.environments import Environment
from waybill.deliver.pins import Pin
from waybill.errors import (
    AlreadyBack,
    BadValue,
    NotACommit,
    NothingToRollBack,
    RevisionPruned,
    UnknownModel,
)
from waybill.release import move
from waybill.release.move import Move
from waybill.release.pin import require_served
from waybill.store.layout import Ref, RepoId
from waybill.store.publish import complete
from waybill.store.record import Record


def plan(
    environment: Environment, model: str, to: str | None = None, *, single_writer: bool = False
) -> Move:
    """To the newest other commit of the history, or to `to`, which must occur in it.

    Raises UnknownModel, NothingToRollBack, AlreadyBack, NotACommit, BadValue, PinsDiffer,
    RevisionPruned, BlobMissing; Unsigned and UntrustedSignature by the environment's trust policy.
    """
    pin = pins.load(environment.pins_path).models.get(model)
    if pin is None:
        raise UnknownModel(model=model, environment=environment.name)
    store = environment.connect(single_writer=single_writer)
    repo = RepoId.parse(pin.stable.repo)
    records = list(store.history(repo, Ref.pin(environment.name, model)))
    commit = (
        _named(environment, model, records, to)
        if to
        else _previous(environment, model, records, pin)
    )
    if store.revision(repo, commit) is None:
        raise RevisionPruned(commit=commit, repo=repo, url=store.url)
    manifest = complete(store, repo, commit)
    require_served(environment, store, repo, manifest)
    known = pin.revisions.get(commit) or move.describe(store, repo, manifest)
    return move.decide(environment, store, model, known, at_once=True)


def goes_back(step: Move) -> bool:
    """False where a rollback is undone: it goes to what came after the pinned revision."""
    records = list(step.store.history(step.repo, step.ref))
    pinned = step.pinned.commit if step.pinned else ""
    return not came_before(records, pinned, step.revision.commit)


def came_before(records: Sequence[Record], commit: str, than: str) -> bool:
    """Whether a commit came into a history, the newest record first, before another one did."""
    commits = [record.commit for record in records][::-1]
    return commit in commits and than in commits and commits.index(commit) < commits.index(than)


def _named(environment: Environment, model: str, records: Sequence[Record], to: str) -> str:
    known = list(dict.fromkeys(record.commit for record in records))
    if to in known:
        return to
    short = [commit for commit in known if commit.startswith(to.lower())]
    if not digests.is_commit(to) and len(short) == 1:
        raise NotACommit(revision=to, commit=short[0])
    look = f"waybill history {model} --env {environment.name}"
    raise BadValue(what="--to", value=to, why=f"{look} has no such commit")


def _previous(environment: Environment, model: str, records: Sequence[Record], pin: Pin) -> str:
    """The commit before the pinned one; where a rollback was cut off, what it wanted.

    A history that has come across a gap has steps that were never made here, so what the pins file
    has as the one before goes first. A rollback moves the ref first, and `watch`, which takes
    traffic back, the pins. Raises AlreadyBack where a hold says that this was the bad one.
    """
    pinned = pin.stable.commit
    # A record that stays at its commit puts on a hold, or releases one.
    commits = [commit for commit, _ in groupby(record.commit for record in records)][:3]
    if commits == [pinned]:
        raise NothingToRollBack(model=model, environment=environment.name)
    if commits[:1] == [pinned]:
        known = pin.previous and pin.previous.commit in {record.commit for record in records}
        previous = pin.previous.commit if pin.previous and known else commits[1]
        if records[0].hold and came_before(records, pinned, previous):
            where = environment.name
            raise AlreadyBack(model=model, environment=where, commit=pinned, bad=previous)
        return previous
    if len(commits) == 3 and commits[1] == pinned and commits[0] == commits[2]:
        return commits[0]
    if pin.previous and commits[:2] == [pin.previous.commit, pinned]:
        return pinned
    stands = commits[0] if commits else None
    raise move.differ(environment, model, pin.stable.repo, pinned, stands)
