"""Apply: carry out exactly the plan that was looked at, or refuse.

All is looked at twice: before the first byte, so that nothing is sent in vain, and after the last
one, for sending may take hours in which a freeze begins or a pin moves. Then the plan is kept
beside its revisions, the refs move by compare-and-swap, and the pins of all models are written in
one rename. Whatever stops it, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from waybill.deliver.environments import Environments
from waybill.digest import Digest
from waybill.digest import of as digest_of
from waybill.manifest import STATEMENT_TYPE, statement_of
from waybill.release import gates, move, plan, promote
from waybill.release.gates import approvals
from waybill.release.gates.case import Case, Subject, Verdict
from waybill.release.move import Reason
from waybill.release.plan import PLAN_TYPE, Plan
from waybill.release.policy import Policy
from waybill.release.promote import Promotion
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE, Envelope
from waybill.sign.keys import Signer
from waybill.sign.predicates import Promotion as Promoted
from waybill.sign.trust import now
from waybill.store.base import Advance, no_progress
from waybill.store.publish import Statements, hold
from waybill.store.sync import Copied


@dataclass(frozen=True)
class Person:
    """Who applies a plan, and why. `override`: the reason to do it in spite of a freeze."""

    by: str
    why: str = ""
    override: str = ""
    signer: Signer | None = None

    @property
    def reason(self) -> str:
        """For the history."""
        frozen = f"freeze overridden: {self.override}" if self.override else ""
        return "; ".join(filter(None, [self.why, frozen]))


@dataclass(frozen=True)
class Application:
    """A plan that fits what is there, judged. `path` is what people call the plan."""

    environments: Environments
    path: str
    plan: Plan
    promotion: Promotion
    person: Person
    case: Case
    signed: Mapping[str, Statements] = field(default_factory=dict)
    """By model: that it was promoted, as the person signed it."""
    single_writer: bool = False

    @cached_property
    def verdicts(self) -> list[Verdict]:
        return gates.judge(self.case)

    def allowed(self) -> Application:
        """Itself; what was begun is finished, whatever gates say by now.

        Raises PromotionDenied, Frozen.
        """
        if self.changes and not all(plan.done(one, self.plan) for one in self.promotion.steps):
            gates.require(self.case, self.verdicts)
        return self

    @property
    def changes(self) -> bool:
        return any(step.move.changes for step in self.promotion.steps)

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
    """Plan what these environments would do now. Writes nothing.

    Raises what `promote.decide` does.
    """
    policy = Policy.load(environments)
    promotion = promote.decide(environments, source, target, models, single_writer=single_writer)
    planned = plan.make(promotion, policy, person.by)
    found = _application(environments, policy, promotion, planned, person, at)
    return replace(found, single_writer=single_writer)


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
    signed = _signed(promotion, planned, person, at)
    trusted = promotion.target.policy()
    envelopes = [Envelope.parse(data, "it") for said in signed.values() for data, _ in said[1:]]
    keys = {name for one in envelopes if trusted for name in trusted.signers(one, None)}
    case = Case(
        project=environments.path.parent.parent,
        policy=policy,
        promotion=promotion,
        document=planned.agreed,
        digest=planned.digest,
        at=at,
        promoters=frozenset({planned.by, person.by, *keys}),
        override=person.override,
        sent=_is_there(promotion) and not policy.rules(promotion.target.name).deep,
    )
    return Application(environments, "the plan", planned, promotion, person, case, signed)


def _is_there(promotion: Promotion) -> bool:
    """Whether the target has everything already."""
    moves = [step.move for step in promotion.steps]
    return not promotion.bytes and all(
        one.store.revision(one.repo, one.revision.commit) for one in moves
    )


def _signed(
    promotion: Promotion, planned: Plan, person: Person, at: datetime
) -> dict[str, Statements]:
    if person.signer is None:
        return {}
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
        envelope = dsse.sign(data, person.signer)
        found[step.move.model] = (data, STATEMENT_TYPE), (envelope, ENVELOPE_TYPE)
    return found


def carry_out(application: Application, advance: Advance = no_progress) -> list[Copied]:
    """What was copied, by step.

    Raises PromotionDenied and Frozen before the first byte or after the last one; PlanOutdated,
    BlobMissing and Corrupt before any move; RefMoved when somebody else was first.
    """
    application.allowed()
    copied = promote.copy(application.promotion, advance)
    if not application.case.sent:
        application = application.later(now()).allowed()
    promotion, person = application.promotion, application.person
    if application.changes:
        reason = Reason(
            by=person.by,
            why=person.reason,
            plan=application.plan.digest,
            evidence=_evidence(application),
        )
        _keep(application)
        move.carry_out([step.move for step in promotion.steps], reason=reason)
    return copied


def _keep(application: Application) -> None:
    """The plan, and who says that it was carried out, beside each revision."""
    agreed = (application.plan.data, PLAN_TYPE)
    for step in application.promotion.steps:
        said = application.signed.get(step.move.model, ())
        hold(step.move.store, step.move.repo, step.move.revision.commit, (agreed, *said))


def _evidence(application: Application) -> dict[str, list[Digest]]:
    """What the decision rests on: the signed statements about each revision, and the approvals."""
    agreed = {one.digest for one in approvals.found(application.case)}
    found = {}
    for step in application.promotion.steps:
        known = {one.digest for one in Subject(application.case, step).evidence if one.signers}
        own = {digest_of(data) for data, _ in application.signed.get(step.move.model, ())[1:]}
        found[step.move.model] = sorted(known | own | agreed)
    return found
