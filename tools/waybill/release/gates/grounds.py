"""What a decision rests on: of all that is said of a revision, what spoke for it.

A record names it, and what a record names is kept as long as the record is.
"""

from __future__ import annotations

from waybill.digest import Digest
from waybill.release.evidence import Evidence
from waybill.release.gates.approvals import agreeing
from waybill.release.gates.case import Subject
from waybill.sign.predicates import (
    Approval,
    Health,
    History,
    Outcome,
    Planned,
    Promotion,
    Trial,
)


def of(subject: Subject) -> set[Digest]:
    """By keys that the target's trust policy names: who made it, good tests, and how it ran where
    it comes from; who made this plan, and the approvals of it that count."""
    said = (one for one in subject.evidence if one.signers)
    return agreeing(subject.case) | {one.digest for one in said if _speaks(subject, one)}


def _speaks(subject: Subject, one: Evidence) -> bool:
    match one.parsed:
        case Planned() | Approval() | Promotion() | History():
            return False  # Of other plans; those of this one are found for themselves.
        case Health() as seen:
            place = (seen.environment, seen.model, seen.commit)
            return place == subject.place and not seen.why
        case Trial() as test:
            return test.result is not Outcome.FAILED and test == _newest(subject, test)
    return True


def _newest(subject: Subject, test: Trial) -> Trial:
    """The last result of the same test in the same environment that somebody known has signed."""
    said = (one.parsed for one in subject.evidence if one.signers)
    of_it = (
        one
        for one in said
        if isinstance(one, Trial) and (one.name, one.environment) == (test.name, test.environment)
    )
    return max(of_it, key=lambda one: one.at)
