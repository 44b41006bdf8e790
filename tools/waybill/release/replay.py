"""Across the gap: a promotion that was made on one side is made on the other, and told the same.

What crosses is a signed statement about the revision (`predicates.History`): the plan, and the
records behind the pin. It lies in the bundle like all that is said of a revision. On the other side
the plan is judged by the policy there, with the evidence that came along. Then the ref adopts the
very same records, so both histories have the same digests; who did that here, and why, is said
beside the revision. Where this side has gone a way of its own meanwhile, its history goes on with a
step of its own that names the same plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from itertools import dropwhile, takewhile
from typing import Any

from waybill import digest as digests
from waybill.bundle.format import Index
from waybill.deliver.environments import Environment, Environments
from waybill.errors import BrokenHistory, NotApplied, NothingToReplay, Superseded
from waybill.manifest import canonical, statement_of
from waybill.release import move
from waybill.release.apply import FRESH, Judged, Person, said_by
from waybill.release.evidence import Evidence, gather
from waybill.release.gates.case import Case, Verdict
from waybill.release.move import Move, Reason
from waybill.release.plan import PLAN_TYPE, Plan
from waybill.release.policy import Policy
from waybill.release.promote import Promotion, Step
from waybill.sign import dsse
from waybill.sign.keys import Signer
from waybill.sign.predicates import History
from waybill.sign.trust import now
from waybill.store.layout import Ref, RepoId
from waybill.store.publish import Statements, complete
from waybill.store.record import Head, Record
from waybill.store.store import Store


def told(environments: Environments, plan: Plan, signer: Signer) -> Iterator[bytes]:
    """For the other side: a signed statement about each revision of a plan that was applied here.

    Raises NotApplied, UnknownEnvironment.
    """
    for model, facts in plan.models.items():
        said = _history(environments, plan, model)
        yield dsse.sign(statement_of(facts["digest"], History.TYPE, said.as_json()), signer)


def _history(environments: Environments, plan: Plan, model: str) -> History:
    facts = plan.models[model]
    steps = list(
        dropwhile(
            lambda head: head.record.plan != plan.digest,
            _steps(environments[plan.target], facts["repo"], model),
        )
    )
    if not steps:
        raise NotApplied(plan=plan.digest, model=model, environment=plan.target)
    past = dropwhile(
        lambda head: head.digest != facts["records"]["from"],
        _steps(environments[plan.source], facts["repo"], model),
    )
    before = takewhile(lambda head: head.commit == facts["commit"], past)
    records = [tuple(json.loads(head.record.data) for head in heads) for heads in (steps, before)]
    return History(plan.target, model, plan.agreed, *records)


def _steps(environment: Environment, repo: str, model: str) -> Iterator[Head]:
    store = environment.connect()
    return store.chain(store.head(RepoId.parse(repo), Ref.pin(environment.name, model)))


@dataclass(frozen=True)
class Arrived:
    """The history of one model as it came along: heads, the newest first, and who vouches.

    `before`: the steps of the environment that it came from, since that runs the revision.
    """

    model: str
    heads: tuple[Head, ...]
    before: tuple[Record, ...]
    signers: tuple[str, ...]

    @property
    def newest(self) -> Head:
        return self.heads[0]


@dataclass(frozen=True)
class Replay(Judged):
    """A promotion of the other side, judged on this one."""

    arrived: Mapping[str, Arrived]

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        return tuple(step.move for step in self.promotion.steps)

    def later(self, at: datetime) -> Replay:
        """The same, looked at anew; what has been read back whole is not read again."""
        return replace(self, case=replace(self.case, at=at, sent=not self.case.rules.deep))

    def goes_on(self, each: Move) -> bool:
        """Whether this side's history is where the other one has been."""
        known = {head.digest for head in self.arrived[each.model].heads}
        return each.seen is None or each.seen.digest in known


def prepare(
    environments: Environments,
    index: Index,
    what: str,
    person: Person,
    *,
    at: datetime | None = None,
    to: str | None = None,
    single_writer: bool = False,
) -> Replay:
    """The promotion that a bundle has brought into the store of its target. Writes nothing.

    `to`: only one to this environment, and no other's store is asked. `at`: the time that it is
    judged for; now, where it is left out.
    Raises NothingToReplay, BrokenHistory, Superseded, UnknownEnvironment, what looking at stores
    does.
    """
    policy = Policy.load(environments)
    goals = [environments[to]] if to else list(environments.values())
    plan, goal = _plan(goals, policy, index, what)
    store = goal.connect(single_writer=single_writer)
    known = partial(_histories, goal, policy, store)
    arrived = {model: _arrived(known, goal.name, plan, model, what) for model in plan.models}
    steps = tuple(_step(goal, store, arrived[model].newest, model) for model in plan.models)
    for step in steps:
        _check_not_behind(known, plan, step.move, arrived[step.move.model].newest)
    # Here is no store of the environment that it comes from: what was said there has come along.
    source = replace(goal, name=plan.source)
    case = Case(
        project=environments.path.parent.parent,
        policy=policy,
        promotion=Promotion(source, goal, steps),
        document=plan.agreed,
        digest=plan.digest,
        at=at or now(),
        promoters=frozenset(
            {plan.by, *person.names(goal), *(one.newest.record.by for one in arrived.values())}
        ),
        override=person.override,
        sent=True,
        past={model: one.before for model, one in arrived.items()},
        ended={model: one.newest.record.at for model, one in arrived.items()},
    )
    return Replay(plan, case, person, arrived)


def _plan(
    goals: Sequence[Environment], policy: Policy, index: Index, what: str
) -> tuple[Plan, Environment]:
    """The newest that is in the bundle, signed by whom its target listens to."""
    found: list[tuple[str, Plan, Environment]] = []
    for one in index.revisions:
        brought = set(map(digests.of, one.signatures))
        for place in goals:
            store, commit = place.connect(), one.manifest.commit
            if store.revision(one.repo, commit) is None:
                continue
            for said, evidence in _histories(place, policy, store, one.repo, commit):
                if said.environment == place.name and evidence.digest in brought:
                    plan = Plan.of(said.agreed, evidence.digest)
                    found.append((str(said.records[0].get("at")), plan, place))
    if not found:
        why = "no signed history of its revisions is in the store of an environment here"
        raise NothingToReplay(what=what, why=why)
    _, plan, place = max(found, key=lambda each: each[0])
    return plan, place


def _histories(
    place: Environment, policy: Policy, store: Store, repo: RepoId, commit: str
) -> Iterator[tuple[History, Evidence]]:
    """Those by the keys that the policy names for it; where it names none, by any known one."""
    named = policy.rules(place.name).promoted_by
    for one in gather(store, repo, commit, place.policy(), now()):
        believed = named.intersection(one.signers) if named else one.signers
        if believed and isinstance(one.parsed, History):
            yield one.parsed, one


def _arrived(
    known: Callable[[RepoId, str], Iterator[tuple[History, Evidence]]],
    environment: str,
    plan: Plan,
    model: str,
    what: str,
) -> Arrived:
    facts = plan.models[model]
    for said, evidence in known(RepoId.parse(facts["repo"]), facts["commit"]):
        same = Plan(said.agreed).digest == plan.digest
        if same and (said.environment, said.model) == (environment, model):
            before = tuple(head.record for head in _before(said, plan))
            return Arrived(model, _heads(said, plan), before, evidence.signers)
    why = f"the plan moves {model} as well, and its history has not come along"
    raise NothingToReplay(what=what, why=why)


def _heads(said: History, plan: Plan) -> tuple[Head, ...]:
    """Raises BrokenHistory unless each record names the one after it, and the first the plan."""
    heads = _chain(said, plan, said.environment, said.records)
    newest = heads[0].record
    _need(said, heads[-1].record.previous is None, "it has no beginning")
    _need(said, newest.plan == plan.digest, "its last step is of another plan")
    same = newest.commit == plan.models[said.model]["commit"]
    _need(said, same, "its last step is another revision")
    return heads


def _before(said: History, plan: Plan) -> tuple[Head, ...]:
    """Raises BrokenHistory unless the steps before lead to what the plan was made from."""
    heads, facts = _chain(said, plan, plan.source, said.before), plan.models[said.model]
    fits = not heads or heads[0].digest == facts["records"]["from"]
    _need(said, fits, f"the steps of {plan.source} are not those that the plan was made from")
    return heads


def _chain(
    said: History, plan: Plan, environment: str, records: Sequence[Mapping[str, Any]]
) -> tuple[Head, ...]:
    repo = plan.models[said.model]["repo"]
    heads: list[Head] = []
    key = Record(repo, str(Ref.pin(environment, said.model)), "", None, "", "", "").key
    for facts in records:
        data = canonical(facts)
        try:
            record = Record.parse(data)
            fits = record.data == data and record.key == key
        except (KeyError, TypeError, ValueError):
            fits = False
        _need(said, fits, "a step has not the form of one, or is of another model")
        digest = digests.of(data)
        named = not heads or heads[-1].record.previous == digest
        _need(said, named, "a step is not the one that is named")
        heads.append(Head(digest, record))
    return tuple(heads)


def _need(said: History, holds: bool, why: str) -> None:
    if not holds:
        raise BrokenHistory(model=said.model, environment=said.environment, why=why)


def _step(goal: Environment, store: Store, newest: Head, model: str) -> Step:
    repo = RepoId.parse(newest.record.repo)
    manifest = complete(store, repo, newest.commit)
    revision = move.describe(store, repo, manifest)
    return Step(store, (), move.decide(goal, store, model, revision))


def _check_not_behind(
    known: Callable[[RepoId, str], Iterator[tuple[History, Evidence]]],
    plan: Plan,
    each: Move,
    newest: Head,
) -> None:
    """Raises Superseded when this side has followed the plan before, or one that came after it."""
    if not each.changes or each.seen is None:
        return
    head, *before = each.store.chain(each.seen)
    passed = any(one.record.plan == plan.digest for one in before)
    if passed or _is_past(known, each, [head, *before], newest):
        raise Superseded(model=each.model, environment=each.environment.name, plan=plan.digest)


def _is_past(
    known: Callable[[RepoId, str], Iterator[tuple[History, Evidence]]],
    each: Move,
    heads: Sequence[Head],
    newest: Head,
) -> bool:
    """Whether a plan that was followed here had this step behind it on the other side.

    Where histories have parted the step itself is not in ours.
    """
    plans = {head.record.plan for head in heads}
    commits = dict.fromkeys(head.commit for head in heads if head.record.plan)
    return any(
        newest.digest in map(digests.of, map(canonical, said.records[1:]))
        for commit in commits
        if each.store.revision(each.repo, commit)
        for said, _ in known(each.repo, commit)
        if Plan(said.agreed).digest in plans
    )


def carry_out(replay: Replay) -> Sequence[Verdict]:
    """Move what is to be moved; the verdicts of the last look at it.

    Raises PromotionDenied and Frozen before anything is written, RefMoved, BeingPruned.
    """
    verdicts = replay.allowed().verdicts
    if now() - replay.case.at > FRESH:
        replay = replay.later(now()).allowed()
        verdicts = [
            was if one.gate == "bytes" else one
            for was, one in zip(verdicts, replay.verdicts, strict=True)
        ]
    if replay.changes:
        moves = [_adopting(replay, each) for each in replay.moves]
        move.carry_out(moves, _reason(replay), _said(replay))
    return verdicts


def _said(replay: Replay) -> dict[str, Statements]:
    """By model: the plan, and who makes it so on this side."""
    case, plan = replay.case, (replay.plan.data, PLAN_TYPE)
    said = said_by(case.promotion, replay.plan, replay.person, case.at)
    return {each.model: (plan, *said[each.model]) for each in replay.moves}


def _adopting(replay: Replay, each: Move) -> Move:
    """With the records of the other side that this one has not, where it can go on with them."""
    heads = replay.arrived[each.model].heads
    if not replay.goes_on(each):
        return each
    return replace(each, adopts=tuple(takewhile(lambda head: head != each.seen, heads)))


def _reason(replay: Replay) -> Reason:
    """What a step of our own says, where the histories have parted."""
    records = {model: one.newest.record for model, one in replay.arrived.items()}
    first = next(iter(records.values()))
    evidence = {model: record.evidence for model, record in records.items()}
    why = "; ".join(filter(None, [first.why, replay.person.reason]))
    return Reason(replay.person.by, why, replay.plan.digest, evidence)
