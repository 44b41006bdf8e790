"""The gate of the approvals: enough of the named keys have signed that they agree to this plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from waybill import digest as digests
from waybill.release import evidence
from waybill.release.evidence import Evidence
from waybill.release.gates.case import Case, Finding, Result
from waybill.sign.predicates import Approval, Planned


def approvals(case: Case) -> Finding:
    """Each key counts once; those of whoever made or applies the plan do not count, and none does
    while nobody has signed the plan of those whose plans count."""
    asked = case.rules.approvals
    if asked is None:
        return case.unasked("approvals")
    if why := unsigned(case):
        return Finding(Result.FAIL, why, case.rule("approvals", "plannedBy"))
    given = list(_said(case))
    names = asked.of & _signers(given, Approval)
    counted = sorted(names - _own(case, given))
    told = f"{len(counted)} of {asked.count} have approved {digests.short(case.digest)}"
    told += f": {', '.join(counted)}" if counted else ""
    if passed_over := sorted(names - set(counted)):
        told += f"; not counted, as the promotion is their own: {', '.join(passed_over)}"
    enough = len(counted) >= asked.count
    return Finding(Result.PASS if enough else Result.FAIL, told, case.rule("approvals"))


def unsigned(case: Case) -> str:
    """Why no approval counts as yet; empty where the plan is signed, or need not be."""
    wanted = case.rules.approvals.planned_by if case.rules.approvals else frozenset[str]()
    if not wanted or wanted & makers(case):
        return ""
    names, plan = ", ".join(sorted(wanted)), digests.short(case.digest)
    return f"none of {names} has signed that {plan} is their plan, so no approval of it counts"


def makers(case: Case) -> set[str]:
    """Whose keys have signed that the plan is theirs."""
    return _signers(_said(case), Planned)


def agreeing(case: Case) -> set[digests.Digest]:
    """Who made the plan, and the approvals that count, or would where none is asked for."""
    given, asked = list(_said(case)), case.rules.approvals
    names = (asked.of if asked else _signers(given, Approval)) - _own(case, given)
    return {
        one.digest
        for one, said in given
        if (one.signers if isinstance(said, Planned) else names.intersection(one.signers))
    }


def own(by: str, signers: Collection[str], promoters: Collection[str]) -> set[str]:
    """Of the keys that have signed an approval in the name `by`, those of the promoters."""
    return set(signers) if by in promoters else set(signers).intersection(promoters)


Said = tuple[Evidence, Planned | Approval]


def _said(case: Case) -> Iterator[Said]:
    """Who made this plan and who approves it, as it stands beside its revisions, where they come
    from and where they go, and in the plan itself."""
    for step in case.promotion.steps:
        move = step.move
        commit, digest = move.revision.commit, move.revision.digest
        found = [
            one
            for store in (move.store, step.source)
            for one in evidence.statements(store, move.repo, commit, digest, case.trust)
        ]
        if made := case.signatures.get(move.model):
            found += evidence.envelope(made, digest, case.trust)
        for one in found:
            if isinstance(one.parsed, Planned | Approval) and one.parsed.plan == case.digest:
                yield one, one.parsed


def _signers(given: Iterable[Said], kind: type[Planned | Approval]) -> set[str]:
    return {name for one, said in given if isinstance(said, kind) for name in one.signers}


def _own(case: Case, given: Collection[Said]) -> set[str]:
    """A key that has approved its own once counts for nothing, in whatever name."""
    promoters = case.promoters | _signers(given, Planned)
    approving = [(one, said) for one, said in given if isinstance(said, Approval)]
    return {name for one, said in approving for name in own(said.by, one.signers, promoters)}
