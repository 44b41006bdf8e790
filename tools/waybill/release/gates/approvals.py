"""The gate of the approvals: enough of the named keys have signed that they agree to this plan."""

from __future__ import annotations

from collections.abc import Iterator

from waybill.release import evidence
from waybill.release.evidence import Evidence
from waybill.release.gates.case import Case, Finding, Result
from waybill.sign.predicates import APPROVAL, Approval


def approvals(case: Case) -> Finding:
    """Each key counts once; those of whoever made or applies the plan do not count."""
    asked = case.rules.approvals
    if asked is None:
        return case.unasked("approvals")
    given = [one for one in found(case) if asked.of.intersection(one.signers)]
    names = {name for one in given for name in one.signers if name in asked.of}
    own = {name for one in given if _is_own(case, one) for name in one.signers}
    counted = sorted(names - own - case.promoters)
    told = f"{len(counted)} of {asked.count} have approved {case.digest[:19]}"
    told += f": {', '.join(counted)}" if counted else ""
    if passed_over := sorted(names - set(counted)):
        told += f"; not counted, as the promotion is their own: {', '.join(passed_over)}"
    enough = len(counted) >= asked.count
    return Finding(Result.PASS if enough else Result.FAIL, told, case.rule("approvals"))


def found(case: Case) -> Iterator[Evidence]:
    """Approvals of this plan beside its revisions, where they come from and where they go."""
    for step in case.promotion.steps:
        move = step.move
        commit, digest = move.revision.commit, move.revision.digest
        for store in (move.store, step.source):
            said = evidence.statements(store, move.repo, commit, digest, case.trust)
            for one in said:
                if one.predicate_type == APPROVAL and _is_about(case, one):
                    yield one


def _is_about(case: Case, one: Evidence) -> bool:
    said = one.parsed
    return isinstance(said, Approval) and said.plan == case.digest


def _is_own(case: Case, one: Evidence) -> bool:
    return isinstance(one.parsed, Approval) and one.parsed.by in case.promoters
