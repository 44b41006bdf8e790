"""Apply: carry out exactly the plan that was looked at, or refuse.

All is looked at twice: before the first byte, so that nothing is sent in vain, and after the last
one, for sending may take hours in which a freeze begins or a pin moves. Then the plan is kept
beside its revisions, the refs move by compare-and-swap, and the pins of all models are written in
one rename. Whatever stops it, the same command goes on: with the plan that was begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from waybill.deliver.environments import Environment, Environments
from waybill.digest import Digest
from waybill.digest import of as digest_of
from waybill.errors import WaybillError
from waybill.manifest import STATEMENT_TYPE, statement_of
from waybill.release import gates, move, plan, promote
from waybill.release.evidence import names_of
from waybill.release.gates import grounds
from waybill.release.gates.case import Case, Result, Verdict
from waybill.release.move import Reason
from waybill.release.plan import PLAN_TYPE, Plan
from waybill.release.policy import Policy
from waybill.release.promote import Promotion
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.keys import Signer
from waybill.sign.predicates import Promotion as Promoted
from waybill.sign.trust import now
from waybill.store.base import Advance, no_progress
from waybill.store.publish import Statements
from waybill.store.sync import Copied

FRESH = timedelta(seconds=2)
"""What was judged longer ago is judged again: a person may have thought about the answer."""


@dataclass(frozen=True)
class Person:
    """Who applies a plan, and why. `override`: the reason to do it in spite of a freeze."""

    by: str
    why: str = ""
    override: str = ""
    signer: Signer | None = None

    def names(self, target: Environment) -> set[str]:
        """The person's, and those that the target's trust policy has for the key."""
        return {self.by, *names_of(self.signer, target.policy())}

    @property
    def reason(self) -> str:
        """For the history."""
        frozen = f"freeze overridden: {self.override}" if self.override else ""
        return "; ".join(filter(None, [self.why, frozen]))


@dataclass(frozen=True)
class Judged:
    """A plan that fits what is there, and what the gates say of it."""

    plan: Plan
    case: Case
    person: Person

    @property
    def promotion(self) -> Promotion:
        return self.case.promotion

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What was begun is finished: no gate denies it any more, and each still says its word."""
        found = gates.judge(self.case)
        return [_overruled(one) for one in found] if self.changes and self.begun else found

    @property
    def changes(self) -> bool:
        return any(step.move.changes for step in self.promotion.steps)

    @property
    def begun(self) -> bool:
        """Whether it has moved a model before; that one's record says that it was allowed."""
        return any(plan.done(step, self.plan) for step in self.promotion.steps)

    def allowed(self) -> Self:
        """Itself. Raises PromotionDenied, Frozen."""
        if self.changes:
            gates.require(self.case, self.verdicts)
        return self


def _overruled(one: Verdict) -> Verdict:
    if not one.denies:
        return one
    reason = f"begun when it was allowed, and finished; by now: {one.reason}"
    return replace(one, result=Result.SKIP, denies=False, reason=reason)


@dataclass(frozen=True)
class Applied:
    """What came of a plan: the `verdicts` of the last look at it, and what was copied, by step."""

    verdicts: Sequence[Verdict]
    copied: Sequence[Copied]


@dataclass(frozen=True)
class Application(Judged):
    """A plan of this side. `path` is what people call it."""

    environments: Environments
    path: str = "the plan"
    signed: Mapping[str, Statements] = field(default_factory=dict)
    """By model: that it was promoted, as the person signed it."""
    single_writer: bool = False

    def later(self, at: datetime) -> Application:
        """The same once everything was sent, looked at anew. Raises what `take` does."""
        single = self.single_writer
        anew = take(
            self.environments, self.plan, self.path, self.person, at=at, single_writer=single
        )
        return replace(anew, case=replace(anew.case, sent=True))


def prepare(
    environments: Environments,
    source: str,
    target: str,
    models: Sequence[str],
    person: Person,
    *,
    at: datetime | None = None,
    single_writer: bool = False,
) -> Application:
    """Plan what these environments would do now, or find what was begun. Writes nothing.

    Raises what `promote.decide` does.
    """
    policy = Policy.load(environments)
    promotion = promote.decide(environments, source, target, models, single_writer=single_writer)
    planned = _begun(promotion, policy) or plan.make(promotion, policy, person.by)
    found = _application(environments, policy, promotion, planned, person, at)
    return replace(found, single_writer=single_writer)


def _begun(promotion: Promotion, policy: Policy) -> Plan | None:
    """The plan that was stopped half-way, where it still is the same decision.

    Another one would want approvals anew for what is half done.
    """
    for one in (step.move for step in promotion.steps):
        if not (one.changes and one.seen and one.seen.record.plan):
            continue
        with suppress(WaybillError):
            found = Plan.kept(one.store, one.seen.record.plan)
            made = plan.make(promotion, policy, found.by)
            if plan.scope(found) == plan.scope(made):
                plan.check("the plan", found, made, promotion)
                return found
    return None


def take(
    environments: Environments,
    planned: Plan,
    path: str,
    person: Person,
    *,
    at: datetime | None = None,
    single_writer: bool = False,
) -> Application:
    """A plan from a file, if it still fits. Writes nothing.

    Raises PlanOutdated, and what `promote.decide` does.
    """
    policy = Policy.load(environments)
    models = list(planned.models)
    promotion = promote.decide(
        environments, planned.source, planned.target, models, single_writer=single_writer
    )
    plan.check(path, planned, plan.make(promotion, policy, planned.by), promotion)
    found = _application(environments, policy, promotion, planned, person, at)
    return replace(found, path=path, single_writer=single_writer)


def _application(
    environments: Environments,
    policy: Policy,
    promotion: Promotion,
    planned: Plan,
    person: Person,
    at: datetime | None,
) -> Application:
    at = at or now()
    signed = said_by(promotion, planned, person, at) if person.signer else {}
    case = Case(
        project=environments.path.parent.parent,
        policy=policy,
        promotion=promotion,
        document=planned.agreed,
        digest=planned.digest,
        at=at,
        promoters=frozenset({planned.by, *person.names(promotion.target)}),
        override=person.override,
        sent=_is_there(promotion) and not policy.rules(promotion.target.name).deep,
        signatures=planned.signatures,
    )
    return Application(planned, case, person, environments, signed=signed)


def _is_there(promotion: Promotion) -> bool:
    """Whether the target has everything already."""
    moves = [step.move for step in promotion.steps]
    return not promotion.bytes and all(
        one.store.revision(one.repo, one.revision.commit) for one in moves
    )


def said_by(
    promotion: Promotion, planned: Plan, person: Person, at: datetime
) -> dict[str, Statements]:
    """By model: that this person promotes it, as it is kept beside the revision."""
    found: dict[str, Statements] = {}
    for step in promotion.steps:
        said = Promoted(
            plan=planned.digest,
            source=planned.source,
            target=planned.target,
            model=step.move.model,
            at=at,
            by=person.by,
            why=person.reason,
        )
        data = statement_of(step.move.revision.digest, Promoted.TYPE, said.as_json())
        found[step.move.model] = ((data, STATEMENT_TYPE),)
        if person.signer:
            found[step.move.model] += ((dsse.sign(data, person.signer), ENVELOPE_TYPE),)
    return found


def carry_out(application: Application, advance: Advance = no_progress) -> Applied:
    """What the plan says, and no more.

    Raises PromotionDenied and Frozen before the first byte or after the last one; PlanOutdated,
    BlobMissing and Corrupt before any move; RefMoved when somebody else was first.
    """
    application.allowed()
    copied = promote.copy(application.promotion, advance)
    if not application.case.sent or now() - application.case.at > FRESH:
        application = application.later(now()).allowed()
    promotion, person = application.promotion, application.person
    if application.changes:
        reason = Reason(
            by=person.by,
            why=person.reason,
            plan=application.plan.digest,
            evidence=_evidence(application),
        )
        moves = [step.move for step in promotion.steps]
        move.carry_out(moves, reason, _said(application))
    return Applied(application.verdicts, copied)


def _said(application: Application) -> dict[str, Statements]:
    """By model: the plan, who says to have made it, and who says that it was carried out."""
    found: dict[str, Statements] = {}
    for model in application.plan.models:
        made = application.plan.signatures.get(model)
        found[model] = (
            (application.plan.data, PLAN_TYPE),
            *(((made, ENVELOPE_TYPE),) if made else ()),
            *application.signed.get(model, ()),
        )
    return found


def _evidence(application: Application) -> dict[str, list[Digest]]:
    """What the decision rests on, and what the person has signed of it, by model."""
    found = {}
    for subject in application.case.subjects:
        own = {digest_of(data) for data, _ in application.signed.get(subject.model, ())[1:]}
        found[subject.model] = sorted(grounds.of(subject) | own)
    return found
