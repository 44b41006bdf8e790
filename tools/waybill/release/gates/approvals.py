"""The gate of the approvals: enough of the named keys have signed that they agree to this plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from waybill import digest as digests
from waybill.release import evidence
from waybill.release.evidence import Evidence
from waybill.release.gates.case import Case, Finding, Result
from waybill.sign.predicates import Approval


def approvals(case: Case) -> Finding:
    """Each key counts once; those of whoever made or applies the plan do not count."""
    asked = case.rules.approvals
    if asked is None:
        return case.unasked("approvals")
    given = list(_given(case))
    names = asked.of & _signers(given)
    counted = sorted(names - _own(case, given))
    told = f"{len(counted)} of {asked.count} have approved {digests.short(case.digest)}"
    told += f": {', '.join(counted)}" if counted else ""
    if passed_over := sorted(names - set(counted)):
        told += f"; not counted, as the promotion is their own: {', '.join(passed_over)}"
    enough = len(counted) >= asked.count
    return Finding(Result.PASS if enough else Result.FAIL, told, case.rule("approvals"))


def agreeing(case: Case) -> set[digests.Digest]:
    """The approvals that count, or would where none is asked for."""
    given, asked = list(_given(case)), case.rules.approvals
    names = (asked.of if asked else _signers(given)) - _own(case, given)
    return {one.digest for one, _ in given if names.intersection(one.signers)}


def own(by: str, signers: Collection[str], promoters: Collection[str]) -> set[str]:
    """Of the keys that have signed an approval in the name `by`, those of the promoters."""
    return set(signers) if by in promoters else set(signers).intersection(promoters)


Given = tuple[Evidence, Approval]


def _given(case: Case) -> Iterator[Given]:
    """Approvals of this plan beside its revisions, where they come from and where they go."""
    for step in case.promotion.steps:
        move = step.move
        commit, digest = move.revision.commit, move.revision.digest
        for store in (move.store, step.source):
            for one in evidence.statements(store, move.repo, commit, digest, case.trust):
                if isinstance(one.parsed, Approval) and one.parsed.plan == case.digest:
                    yield one, one.parsed


def _signers(given: Collection[Given]) -> set[str]:
    return {name for one, _ in given for name in one.signers}


def _own(case: Case, given: Collection[Given]) -> set[str]:
    """A key that has approved its own once counts for nothing, in whatever name."""
    return {name for one, said in given for name in own(said.by, one.signers, case.promoters)}
