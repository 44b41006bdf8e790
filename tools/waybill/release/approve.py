"""Approve: a signed statement that somebody agrees to a plan, kept where the plan is applied.

Whoever makes a plan may sign that it is theirs. That stands in the plan's file, for who plans may
have no right to write to the target's store; it gets there with the first approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from waybill.digest import Digest
from waybill.digest import of as digest_of
from waybill.manifest import statement_of
from waybill.release.apply import Application
from waybill.release.evidence import names_of
from waybill.release.gates import approvals
from waybill.release.gates.case import Verdict
from waybill.release.plan import PLAN_TYPE
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.keys import Signer
from waybill.sign.predicates import Approval, Planned
from waybill.store.layout import RepoId


def sign(application: Application, at: datetime) -> Application:
    """With the word of the person's key that they have made the plan.

    As it is without a key, where nothing changes, and where it was begun: it is somebody's then.
    """
    planned, person = application.plan, application.person
    if person.signer is None or application.begun or not application.changes:
        return application
    said = Planned(planned.digest, planned.source, planned.target, at, person.by).as_json()
    made = {
        model: dsse.sign(statement_of(facts["digest"], Planned.TYPE, said), person.signer)
        for model, facts in planned.models.items()
    }
    case = replace(application.case, signatures=made)
    return replace(application, plan=replace(planned, signatures=made), case=case)


def approve(application: Application, signer: Signer, at: datetime) -> Mapping[str, Digest]:
    """Agree to a plan that was looked at, and fits; the digests of the envelopes, by model.

    They lie in the target's store, also before the revisions come, and the plan beside them: it may
    never be applied, and what was agreed to has to be found all the same.
    """
    planned, by = application.plan, application.person.by
    store = application.promotion.target.connect()
    agrees = Approval(planned.digest, planned.source, planned.target, at, by).as_json()
    found = {}
    for model, facts in planned.models.items():
        envelope = dsse.sign(statement_of(facts["digest"], Approval.TYPE, agrees), signer)
        envelopes = filter(None, (planned.signatures.get(model), envelope))
        said = [(planned.data, PLAN_TYPE), *((data, ENVELOPE_TYPE) for data in envelopes)]
        for data, media_type in said:
            store.add_referrer(RepoId.parse(facts["repo"]), facts["commit"], data, media_type)
        found[model] = digest_of(envelope)
    return found


def counts_as(application: Application, signer: Signer) -> tuple[list[str], list[str]]:
    """Names of the target's approvers whose key this is: those that count, and those that do not,
    as the plan is their own. None at all where nobody is asked or the key is not among them."""
    case = application.case
    asked = case.rules.approvals
    if asked is None:
        return [], []
    names = asked.of & names_of(signer, case.trust)
    promoters = {application.plan.by, *approvals.makers(case)}
    own = approvals.own(application.person.by, names, promoters)
    return sorted(names - own), sorted(own)


def objections(application: Application) -> list[Verdict]:
    """What would deny the plan now, but for the approvals, which are only being given."""
    return [one for one in application.verdicts if one.denies and one.gate != "approvals"]
