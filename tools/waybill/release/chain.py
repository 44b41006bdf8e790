"""The chain of a revision from its source to production: what each environment's store says of it.

Statements come from where they lie; steps are the records behind the pins. An environment whose
store cannot be read is told, and the others are read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from waybill import digest as digests
from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.digest import Digest
from waybill.errors import (
    BadValue,
    NotACommit,
    NothingKnown,
    UnknownModel,
    Unsigned,
    UntrustedSignature,
    WaybillError,
)
from waybill.manifest import PROVENANCE, Manifest
from waybill.release import evidence, move
from waybill.release.evidence import Evidence
from waybill.sign.predicates import (
    APPROVAL,
    HEALTH,
    HISTORY,
    PLAN,
    PROMOTION,
    TEST_RESULT,
    Approval,
    History,
    Planned,
    Promotion,
)
from waybill.sign.statements import BOM, LICENSE
from waybill.sign.trust import Policy
from waybill.store import evidence as kept
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Head
from waybill.store.store import Store
from waybill.store.work import parallel

KINDS = {
    PROVENANCE: "provenance",
    LICENSE: "license",
    BOM: "bom",
    TEST_RESULT: "test",
    HEALTH: "health",
    PLAN: "plan",
    APPROVAL: "approval",
    PROMOTION: "promotion",
    HISTORY: "history",
}
"""What people call a predicate type; it is also the order in which they are told."""


@dataclass(frozen=True)
class Place:
    """One environment.

    `error`: why its store cannot be read. `wrong`: why its trust policy does not let the revision
    in; empty where it does, or asks for nothing. `records`: the whole history of each model that
    has ever been this revision, newest first. `models`: all that have ever been one of its repo.
    `plans`: those that its steps and the statements name, as far as the store has them. `traffic`:
    shares of it now, by model and slot.
    """

    environment: Environment
    manifest: Manifest | None = None
    policy: Policy | None = None
    wrong: str = ""
    evidence: tuple[Evidence, ...] = ()
    records: Mapping[str, tuple[Head, ...]] = field(default_factory=dict)
    models: frozenset[str] = frozenset()
    plans: Mapping[str, bytes] = field(default_factory=dict)
    traffic: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    error: str | None = None

    @property
    def name(self) -> str:
        return self.environment.name


@dataclass(frozen=True)
class Chain:
    """A revision in all environments, in the order of promotion."""

    repo: RepoId
    manifest: Manifest
    places: tuple[Place, ...]

    @property
    def evidence(self) -> list[tuple[Evidence, list[Place]]]:
        """Each statement once, and where it lies: in the order of their kinds, then of digests."""
        found: dict[Digest, tuple[Evidence, list[Place]]] = {}
        for place in self.places:
            for one in place.evidence:
                found.setdefault(one.digest, (one, []))[1].append(place)
        order = [*KINDS, *sorted({one.predicate_type for one, _ in found.values()} - KINDS.keys())]
        return sorted(
            found.values(), key=lambda each: (order.index(each[0].predicate_type), each[0].digest)
        )

    def signers(self, one: Evidence) -> list[str]:
        """By all policies that know one of them."""
        same = (each for place in self.places for each in place.evidence)
        names = (name for each in same if each.digest == one.digest for name in each.signers)
        return list(dict.fromkeys(names))

    def carried_out(self, one: Evidence) -> bool | None:
        """Whether a step of its target names the plan that somebody says was applied.

        They say so before the refs move, and then somebody else may be first. The steps are those
        of its store, and those of the other side of a gap, as a history tells them whose signer is
        known. None for what says no such thing, and where no step of it is known.
        """
        said = one.parsed
        if not isinstance(said, Promotion):
            return None
        here = [place for place in self.places if place.name == said.target]
        steps = [head.record.plan for place in here for head in place.records.get(said.model, ())]
        told = [*self._told(str(Ref.pin(said.target, said.model)))]
        if not told and all(said.model not in place.models for place in here):
            return None
        return said.plan in (*steps, *told)

    def _told(self, ref: str) -> Iterator[Any]:
        """The plans of its steps on the other side of a gap."""
        for one, _ in self.evidence:
            if isinstance(one.parsed, History) and self.signers(one):
                steps = (*one.parsed.records, *one.parsed.before)
                yield from (step.get("plan") for step in steps if step.get("ref") == ref)


def chain(environments: Environments, named: str, environment: str | None = None) -> Chain:
    """Of `MODEL`, `OWNER/NAME@COMMIT` or a digest; `environment`: whose pin of the model is meant.

    Raises BadValue, NotACommit, UnknownEnvironment, UnknownModel, NothingKnown.
    """
    repo, commit = _find(environments, named, environment)
    places = tuple(parallel(partial(_look, repo, commit), environments.values()))
    for place in places:
        if place.manifest and _is_meant(place.manifest, named):
            return Chain(repo, place.manifest, places)
    raise _unknown(environments, named)


def _is_meant(manifest: Manifest, named: str) -> bool:
    """A commit is only the beginning of a digest."""
    return not named.startswith("sha256:") or manifest.descriptor.digest == named


def _find(environments: Environments, named: str, environment: str | None) -> tuple[RepoId, str]:
    if named.startswith("sha256:"):
        commit = digests.hex_of(digests.parse(named))[:40]
        return _repo_of(environments, commit, named), commit
    if "/" in named:
        spelled, _, commit = named.partition("@")
        if not commit:
            why = "it must be MODEL, OWNER/NAME@COMMIT or a digest"
            raise BadValue(what="model", value=named, why=why)
        return RepoId.parse(spelled), _exact(environments, RepoId.parse(spelled), commit)
    move.check_model(named)
    asked = [environments[environment]] if environment else [*environments.values()][::-1]
    for place in asked:
        if pin := pins.load(place.pins_path).models.get(named):
            return RepoId.parse(pin.stable.repo), pin.stable.commit
    raise UnknownModel(model=named, environment=environment or next(iter(environments)))


def _exact(environments: Environments, repo: RepoId, revision: str) -> str:
    """The commit, of an upstream one, too. Raises NotACommit for a name that may move."""
    known: list[str] = []
    for place in environments.values():
        with suppress(WaybillError):
            known.append(place.connect().resolve(repo, revision))
    if known and not digests.is_commit(revision):
        raise NotACommit(revision=revision, commit=known[0])
    return known[0] if known else digests.parse_commit(revision)


def _repo_of(environments: Environments, commit: str, named: str) -> RepoId:
    """A digest says nothing of the repo: pins are asked first, then all repos that have a ref."""
    for place in environments.values():
        for pin in pins.load(place.pins_path).models.values():
            if commit in pin.revisions:
                return RepoId.parse(pin.revisions[commit].repo)
    for place in environments.values():
        with suppress(WaybillError):
            store = place.connect()
            for spelled, _ in store.refs():
                if store.revision(RepoId.parse(spelled), commit):
                    return RepoId.parse(spelled)
    raise _unknown(environments, named)


def _unknown(environments: Environments, named: str) -> NothingKnown:
    return NothingKnown(what=named, environments=", ".join(environments))


def _look(repo: RepoId, commit: str, environment: Environment) -> Place:
    try:
        store, policy = environment.connect(), environment.policy()
        known = dict(_records(store, repo, environment.name))
        records = {
            model: heads
            for model, heads in known.items()
            if any(head.commit == commit for head in heads)
        }
        models = frozenset(known)
        traffic = _traffic(environment, commit)
        if not store.revision(repo, commit):
            return Place(
                environment, policy=policy, records=records, models=models, traffic=traffic
            )
        manifest = store.manifest(repo, commit)
        said = tuple(evidence.gather(store, repo, commit, policy))
        wrong = _wrong(policy, store, repo, manifest)
        plans = dict(_plans(store, _named(records, said, commit)))
        return Place(environment, manifest, policy, wrong, said, records, models, plans, traffic)
    except WaybillError as error:
        return Place(environment, error=str(error))


def _records(
    store: Store, repo: RepoId, environment: str
) -> Iterator[tuple[str, tuple[Head, ...]]]:
    for _, (_, ref) in store.ref_keys(repo):
        if model := ref.pinned_in(environment):
            yield model, tuple(store.chain(store.head(repo, ref)))


def _named(
    records: Mapping[str, tuple[Head, ...]], said: Iterable[Evidence], commit: str
) -> set[str]:
    """The plans that steps to this revision and statements about it name."""
    steps = (head.record for heads in records.values() for head in heads if head.commit == commit)
    words = (one.parsed for one in said)
    named = {one.plan for one in words if isinstance(one, Planned | Approval | Promotion)}
    return named | {step.plan for step in steps if step.plan}


def _plans(store: Store, named: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Those that are there."""
    for digest in named:
        with suppress(WaybillError):
            yield digest, store.read(digests.parse(digest))


def _traffic(environment: Environment, commit: str) -> dict[str, dict[str, int]]:
    held = pins.load(environment.pins_path).models
    shares = {
        model: {name: slot.weight for name, slot in pin.traffic.items() if slot.commit == commit}
        for model, pin in held.items()
    }
    return {model: slots for model, slots in shares.items() if slots}


def _wrong(policy: Policy | None, store: Store, repo: RepoId, manifest: Manifest) -> str:
    """As the hub asks: whether certificates were good when they began."""
    try:
        kept.require_trust(
            policy, store, repo, manifest.descriptor.digest, manifest.commit, at=None
        )
    except (Unsigned, UntrustedSignature) as error:
        return str(error)
    return ""
