"""One step of a model in an environment: the ref by compare-and-swap, then the pins file.

Every command decides first (a `Move` holds what was seen then) and acts afterwards, so a dry
run is the first half. A crash between the two writes leaves a ref that is ahead of the pins
file; the same command again finds the ref where it wants it and writes the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from waybill import files
from waybill.deliver import pins
from waybill.deliver.environments import Environment
from waybill.deliver.pins import Pins, Revision
from waybill.errors import BadValue, Corrupt, OtherRepo, PinsDiffer, RefMoved
from waybill.manifest import Manifest
from waybill.release import steps
from waybill.store import evidence
from waybill.store.layout import Ref, RepoId
from waybill.store.past import bring_records
from waybill.store.publish import Statements, hold
from waybill.store.record import Head
from waybill.store.store import Store


@dataclass(frozen=True)
class Move:
    """A decided step: `revision` becomes the stable one of `model`.

    `seen` is what the ref held then, and `pinned` the revision in the pins file. Where it is
    `gradual`, the traffic stays where it is until `waybill watch` moves it. `adopts`: records of
    another store, the newest first, that the ref takes as they are; without any it gets its own.
    """

    environment: Environment
    store: Store
    model: str
    revision: Revision
    seen: Head | None
    pinned: Revision | None
    gradual: bool = False
    adopts: tuple[Head, ...] = ()

    @property
    def repo(self) -> RepoId:
        return RepoId.parse(self.revision.repo)

    @property
    def ref(self) -> Ref:
        return Ref.pin(self.environment.name, self.model)

    @property
    def changes(self) -> bool:
        """False when ref and pins file are there already."""
        commit = self.revision.commit
        at_ref = self.seen is not None and self.seen.commit == commit
        return not (at_ref and self.pinned == self.revision)


def decide(
    environment: Environment,
    store: Store,
    model: str,
    revision: Revision,
    *,
    at_once: bool = False,
) -> Move:
    """Look at ref and pins file as they are now; `at_once` passes over the model's steps.

    Raises OtherRepo, BadFile; NoConditionalWrites when the ref would have to move.
    """
    held = pins.load(environment.pins_path)
    _same_repo(environment, held, model, revision)
    pin = held.models.get(model)
    seen = store.head(RepoId.parse(revision.repo), Ref.pin(environment.name, model))
    if seen is None or seen.commit != revision.commit:
        store.require_writable()
    gradual = not at_once and bool(steps.of(environment, model).shares)
    return Move(environment, store, model, revision, seen, pin.stable if pin else None, gradual)


@dataclass(frozen=True)
class Reason:
    """What the records of some moves say beside the commit.

    `plan` and `evidence` (by model) are digests; `hold` None leaves a hold as it is.
    """

    by: str
    why: str
    plan: str | None = None
    evidence: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hold: bool | None = None


def carry_out(
    moves: Sequence[Move], reason: Reason, said: Mapping[str, Statements] = MappingProxyType({})
) -> None:
    """Keep what is `said` by model beside each revision, move each ref, then write their pins in
    one rename.

    Raises RefMoved when another writer was first: that model's pin is not written, and of a plan
    the others go back to where they were, but for those that were nowhere; BlobMissing,
    RevisionNotFound or BeingPruned before any move.
    """
    for move in moves:
        statements = said.get(move.model, ())
        if statements or move.seen is None or move.seen.commit != move.revision.commit:
            hold(move.store, move.repo, move.revision.commit, statements)
    moved: list[tuple[Move, Head]] = []
    lost: RefMoved | None = None
    # First pins come last: a store takes no ref away, so nothing else must be lost after them.
    for move in sorted(moves, key=lambda move: move.seen is None):
        try:
            moved.append((move, _move_ref(move, reason)))
        except RefMoved as error:
            lost = error
            break
    if lost and reason.plan:
        moved = _taken_back(moved, reason)
    lost = _write_pins(moved) or lost
    if lost:
        raise lost


def _move_ref(move: Move, reason: Reason) -> Head:
    if move.adopts:
        bring_records(move.store, [head.record.data for head in move.adopts][::-1])
        move.store.adopt(move.repo, move.ref, move.adopts[0], move.seen)
        return move.adopts[0]
    try:
        return move.store.move(
            move.repo,
            move.ref,
            move.revision.commit,
            expected=move.seen,
            by=reason.by,
            why=reason.why,
            plan=reason.plan,
            evidence=reason.evidence.get(move.model, ()),
            hold=reason.hold,
        )
    except RefMoved:
        head = move.store.head(move.repo, move.ref)
        if head and reason.plan and head.record.plan == reason.plan:
            return head  # Somebody else carries out the same plan.
        raise


def _taken_back(moved: Sequence[tuple[Move, Head]], reason: Reason) -> list[tuple[Move, Head]]:
    """Refs go back to where they were; those stay that were nowhere before."""
    for move, head in moved:
        if move.seen and move.seen.digest != head.digest:
            with suppress(RefMoved):
                _take_back(move, move.seen, head, reason)
    return [(move, head) for move, head in moved if move.seen is None]


def _take_back(move: Move, before: Head, head: Head, reason: Reason) -> None:
    """With a record of it, unless the history is that of another store, which tells of none."""
    if move.adopts:
        move.store.adopt(move.repo, move.ref, before, head)
        return
    move.store.move(
        move.repo,
        move.ref,
        before.commit,
        expected=head,
        by=reason.by,
        why="taken back: another model of the plan was moved by somebody else",
        hold=before.record.hold,
    )


def _write_pins(moved: Sequence[tuple[Move, Head]]) -> RefMoved | None:
    """Write what still stands; the file's lock makes the later mover also the later writer."""
    lost: list[RefMoved] = []

    def change(held: Pins) -> Pins:
        for move, head in moved:
            _same_repo(move.environment, held, move.model, move.revision)
            if move.store.head(move.repo, move.ref) == head:
                held = held.with_stable(move.model, move.revision, gradual=move.gradual)
            else:
                lost.append(RefMoved(repo=move.repo, ref=move.ref))
        return held

    if moved:
        pins.update(moved[0][0].environment.pins_path, change)
    return lost[0] if lost else None


def _same_repo(environment: Environment, held: Pins, model: str, revision: Revision) -> None:
    pin = held.models.get(model)
    if pin and RepoId.parse(pin.stable.repo).key != RepoId.parse(revision.repo).key:
        raise OtherRepo(
            model=model, environment=environment.name, pinned=pin.stable.repo, repo=revision.repo
        )


def check_agrees(move: Move) -> None:
    """Raises PinsDiffer when the store's ref stands where neither file nor move expects it."""
    stands = move.seen.commit if move.seen else None
    pinned = move.pinned.commit if move.pinned else None
    if stands not in (None, pinned, move.revision.commit):
        raise differ(move.environment, move.model, move.revision.repo, pinned, stands)


def differ(
    environment: Environment, model: str, repo: str, pinned: str | None, stands: str | None
) -> PinsDiffer:
    return PinsDiffer(
        path=environment.pins_path,
        model=model,
        pinned=pinned or "nothing",
        stands=stands or "nothing",
        environment=environment.name,
        repo=repo,
    )


def check_model(model: str) -> str:
    """Raises BadValue unless `model` can be a key of global.models."""
    if not re.fullmatch(files.NAME, model):
        why = "it must be at most 24 lower-case letters, digits and dashes"
        raise BadValue(what="model", value=model, why=why)
    return model


def same_digest(manifest: Manifest, revision: Revision, store: Store) -> None:
    """Raises Corrupt when a pin and a store mean different content by one commit."""
    found = manifest.descriptor.digest
    if found != revision.digest:
        what = f"{revision.repo}@{revision.commit} in {store.url}"
        raise Corrupt(what=what, expected=revision.digest, found=found)


def describe(store: Store, repo: RepoId, manifest: Manifest) -> Revision:
    """What a pin says of a revision."""
    statements = evidence.provenances(store, repo, manifest.commit)
    digest = manifest.descriptor.digest
    return Revision(str(repo), digest, manifest.size, statements[0] if statements else "")
