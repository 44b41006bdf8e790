"""Across the gap: a promotion that was made on one side is made on the other, and told the same.

What crosses is a signed statement about the revision (`predicates.History`): the plan, and the
records behind the pin. It lies in the bundle like all that is said of a revision. On the other side
the plan is judged by the policy there, with the evidence that came along. Then the ref adopts the
very same records, so both histories have the same digests. Where this side has gone a way of its
own meanwhile, its history goes on with a step of its own that names the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from waybill import digest as digests
from waybill.bundle.format import Index
from waybill.deliver.environments import Environment, Environments
from waybill.digest import Digest
from waybill.errors import BrokenHistory, NotApplied, NothingToReplay, Superseded
from waybill.manifest import canonical, statement_of
from waybill.release import gates, move
from waybill.release.evidence import gather
from waybill.release.gates.case import Case
from waybill.release.move import Move, Reason
from waybill.release.plan import PLAN_TYPE, Plan
from waybill.release.policy import Policy
from waybill.release.promote import Promotion, Step
from waybill.sign import dsse
from waybill.sign.keys import Signer
from waybill.sign.predicates import History
from waybill.sign.trust import now
from waybill.store.layout import Ref, RepoId
from waybill.store.mirror import bring_records
from waybill.store.publish import complete, hold
from waybill.store.record import Head, Record
from waybill.store.store import Store


def told(environments: Environments, plan: Plan, signer: Signer) -> Iterator[bytes]:
    """For the other side: a signed statement about each revision of a plan that was applied here.

    Raises NotApplied, UnknownEnvironment.
    """
    store = environments[plan.target].connect()
    for model, facts in plan.models.items():
        repo = RepoId.parse(facts["repo"])
        chain = list(store.history(repo, Ref.pin(plan.target, model)))
        at = next((at for at, one in enumerate(chain) if one.plan == plan.digest), None)
        if at is None:
            raise NotApplied(plan=plan.digest, model=model, environment=plan.target)
        records = tuple(_as_json(one) for one in chain[at:])
        said = History(plan.target, model, plan.agreed, records)
        yield dsse.sign(statement_of(facts["digest"], History.TYPE, said.as_json()), signer)


def _as_json(record: Record) -> dict[str, object]:
    facts = {**asdict(record), "evidence": list(record.evidence)}
    return facts if record.hold else {key: one for key, one in facts.items() if key != "hold"}


@dataclass(frozen=True)
class Arrived:
    """The history of one model as it came along: heads, the newest first, and who vouches."""

    model: str
    heads: tuple[Head, ...]
    signers: tuple[str, ...]

    @property
    def newest(self) -> Head:
        return self.heads[0]


@dataclass(frozen=True)
class Replay:
    """A promotion of the other side, judged on this one."""

    plan: Plan
    case: Case
    arrived: Mapping[str, Arrived]

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        return tuple(step.move for step in self.case.promotion.steps)

    @property
    def changes(self) -> bool:
        return any(each.changes for each in self.moves)

    def goes_on(self, each: Move) -> bool:
        """Whether this side's history is where the other one has been."""
        known = {head.digest for head in self.arrived[each.model].heads}
        return each.seen is None or each.seen.digest in known

    def allowed(self) -> Replay:
        """Itself. Raises PromotionDenied, Frozen."""
        if self.changes:
            gates.require(self.case, gates.judge(self.case))
        return self


def prepare(
    environments: Environments,
    index: Index,
    what: str,
    *,
    override: str = "",
    single_writer: bool = False,
) -> Replay:
    """The promotion that a bundle has brought into the store of its target. Writes nothing.

    Raises NothingToReplay, BrokenHistory, Superseded, UnknownEnvironment, what looking at stores
    does.
    """
    policy = Policy.load(environments)
    plan, goal = _plan(environments, index, what)
    store = goal.connect(single_writer=single_writer)
    arrived = {
        model: _arrived(goal, store, plan, model, facts, what)
        for model, facts in plan.models.items()
    }
    steps = tuple(_step(goal, store, arrived[model].newest, model) for model in plan.models)
    for step in steps:
        _check_not_behind(plan, step.move)
    # Here is no store of the environment that it comes from: what was said there has come along.
    source = replace(goal, name=plan.source)
    case = Case(
        project=environments.path.parent.parent,
        policy=policy,
        promotion=Promotion(source, goal, steps),
        document=plan.agreed,
        digest=plan.digest,
        at=now(),
        promoters=frozenset({plan.by, *(one.newest.record.by for one in arrived.values())}),
        override=override,
        sent=True,
    )
    return Replay(plan, case, arrived)


def _plan(environments: Environments, index: Index, what: str) -> tuple[Plan, Environment]:
    """The newest that a key has signed which its target knows."""
    found: list[tuple[str, Plan, Environment]] = []
    for one in index.revisions:
        for name, place in environments.items():
            store, commit = place.connect(), one.manifest.commit
            if store.revision(one.repo, commit) is None:
                continue
            for said, _ in _histories(place, store, one.repo, commit):
                if said.environment == name:
                    found.append((str(said.records[0].get("at")), Plan(said.agreed), place))
    if not found:
        why = "no signed history of its revisions is in the store of an environment here"
        raise NothingToReplay(what=what, why=why)
    _, plan, place = max(found, key=lambda each: each[0])
    return plan, place


def _histories(
    place: Environment, store: Store, repo: RepoId, commit: str
) -> Iterator[tuple[History, tuple[str, ...]]]:
    for one in gather(store, repo, commit, place.policy(), now()):
        if isinstance(one.parsed, History) and one.signers:
            yield one.parsed, one.signers


def _arrived(
    goal: Environment,
    store: Store,
    plan: Plan,
    model: str,
    facts: Mapping[str, str],
    what: str,
) -> Arrived:
    repo = RepoId.parse(facts["repo"])
    for said, signers in _histories(goal, store, repo, facts["commit"]):
        same = Plan(said.agreed).digest == plan.digest
        if same and (said.environment, said.model) == (goal.name, model):
            return Arrived(model, _heads(said, plan, repo), signers)
    why = f"the plan moves {model} as well, and its history has not come along"
    raise NothingToReplay(what=what, why=why)


def _heads(said: History, plan: Plan, repo: RepoId) -> tuple[Head, ...]:
    """Raises BrokenHistory unless each record names the one after it, and the first the plan."""

    def need(holds: bool, why: str) -> None:
        if not holds:
            raise BrokenHistory(model=said.model, environment=said.environment, why=why)

    heads: list[Head] = []
    key = Record(str(repo), str(Ref.pin(said.environment, said.model)), "", None, "", "", "").key
    for facts in said.records:
        data = canonical(facts)
        try:
            record = Record.parse(data)
            fits = record.data == data and record.key == key
        except (KeyError, TypeError, ValueError):
            fits = False
        need(fits, "a step has not the form of one, or is of another model")
        digest = digests.of(data)
        need(
            not heads or heads[-1].record.previous == digest, "a step is not the one that is named"
        )
        heads.append(Head(digest, record))
    newest = heads[0].record
    need(heads[-1].record.previous is None, "it has no beginning")
    need(newest.plan == plan.digest, "its last step is of another plan")
    need(newest.commit == plan.models[said.model]["commit"], "its last step is another revision")
    return tuple(heads)


def _step(goal: Environment, store: Store, newest: Head, model: str) -> Step:
    repo = RepoId.parse(newest.record.repo)
    manifest = complete(store, repo, newest.commit)
    revision = move.describe(store, repo, manifest)
    return Step(store, (), move.decide(goal, store, model, revision))


def _check_not_behind(plan: Plan, each: Move) -> None:
    """Raises Superseded when this side has followed the plan before, and gone on since."""
    if not each.changes or each.seen is None:
        return
    _, *before = each.store.chain(each.seen)
    if any(head.record.plan == plan.digest for head in before):
        raise Superseded(model=each.model, environment=each.environment.name, plan=plan.digest)


def carry_out(replay: Replay) -> list[Digest]:
    """Move what is to be moved; the digests of the records that the refs hold then, by step.

    Raises PromotionDenied and Frozen before anything is written, RefMoved, BeingPruned.
    """
    replay.allowed()
    plan = (replay.plan.data, PLAN_TYPE)
    for each in replay.moves:
        hold(each.store, each.repo, each.revision.commit, (plan,))
    adopted = [_adopted(replay, each) for each in replay.moves]
    move.carry_out(adopted, reason=_reason(replay))
    heads = (each.store.head(each.repo, each.ref) for each in replay.moves)
    return [head.digest for head in heads if head]


def _adopted(replay: Replay, each: Move) -> Move:
    """The move once its ref stands where the other side's does, where it can."""
    arrived = replay.arrived[each.model]
    if not replay.goes_on(each) or each.seen == arrived.newest:
        return each
    bring_records(each.store, _new(arrived.heads, each.seen))
    each.store.adopt(each.repo, each.ref, arrived.newest, each.seen)
    return replace(each, seen=arrived.newest)


def _new(heads: Sequence[Head], seen: Head | None) -> list[bytes]:
    """Records that this side has not, the oldest first."""
    digests_here = [head.digest for head in heads]
    count = digests_here.index(seen.digest) if seen else len(heads)
    return [head.record.data for head in heads[:count]][::-1]


def _reason(replay: Replay) -> Reason:
    """What a step of our own says, where the histories have parted."""
    records = {model: one.newest.record for model, one in replay.arrived.items()}
    first = next(iter(records.values()))
    evidence = {model: record.evidence for model, record in records.items()}
    return Reason(first.by, first.why, replay.plan.digest, evidence)
