"""Approve: a signed statement that somebody agrees to a plan, kept where the plan is applied."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from waybill.deliver.environments import Environments
from waybill.digest import Digest
from waybill.digest import of as digest_of
from waybill.errors import PlanOutdated
from waybill.manifest import statement_of
from waybill.release.plan import Plan
from waybill.release.policy import Policy
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE, Envelope
from waybill.sign.keys import Signer
from waybill.sign.predicates import Approval
from waybill.store.layout import RepoId


def approve(
    environments: Environments, planned: Plan, path: str, signer: Signer, by: str, at: datetime
) -> Mapping[str, Digest]:
    """The digests of the envelopes, by model.

    They lie in the target's store, also before the revisions come. Raises PlanOutdated for a plan
    of another store.
    """
    store = environments[planned.target].connect()
    if store.facts["id"] != planned.agreed["stores"]["to"]:
        raise PlanOutdated(path=path, what=f"{planned.target} has another store by now")
    said = Approval(planned.digest, planned.source, planned.target, at, by).as_json()
    found = {}
    for model, facts in planned.models.items():
        envelope = dsse.sign(statement_of(facts["digest"], Approval.TYPE, said), signer)
        store.add_referrer(RepoId.parse(facts["repo"]), facts["commit"], envelope, ENVELOPE_TYPE)
        found[model] = digest_of(envelope)
    return found


def counts_as(environments: Environments, planned: Plan, signer: Signer, by: str) -> list[str]:
    """Names of the target's approvers whose key this is; none where it would not be counted."""
    asked = Policy.load(environments).rules(planned.target).approvals
    trusted = environments[planned.target].policy()
    if asked is None or trusted is None or by == planned.by:
        return []
    envelope = Envelope.parse(dsse.sign(b"{}", signer), "a test")
    return sorted(asked.of.intersection(trusted.signers(envelope, None)))
