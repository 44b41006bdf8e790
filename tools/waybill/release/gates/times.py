"""Gates of time: freeze windows, and holds that somebody has put on a model."""

from __future__ import annotations

from datetime import datetime

from waybill.release.freeze import Window
from waybill.release.gates.case import Case, Finding, Result, Subject


def freeze(case: Case) -> Finding:
    """In no window of the policy; a reason given for it overrides them all."""
    windows = [one for one in case.policy.windows if one.holds_for(case.target)]
    if not windows:
        return Finding(Result.SKIP, f"no window for {case.target}", case.place("freeze"))
    now = frozen(case)
    if now is None:
        return Finding(Result.PASS, "in no window", case.place("freeze"))
    window, until = now
    told = f"{window.name} until {until.isoformat(timespec='minutes')}"
    rule = case.place("freeze", window.name)
    if case.override:
        return Finding(Result.PASS, f"overridden ({told}): {case.override}", rule)
    return Finding(Result.FAIL, told, rule)


def frozen(case: Case) -> tuple[Window, datetime] | None:
    """The window that ends last of those that the time is in."""
    ends = [
        (one, until)
        for one in case.policy.windows
        if one.holds_for(case.target) and (until := one.until(case.at))
    ]
    return max(ends, key=lambda end: end[1].timestamp(), default=None)


def hold(subject: Subject) -> Finding:
    """Not held back where it would go."""
    case, move = subject.case, subject.step.move
    if not case.policy.exists:
        return case.unasked()
    seen = move.store.head(move.repo, move.ref)
    if seen is None or not seen.record.hold:
        return Finding(Result.PASS, f"no hold in {case.target}", case.rule())
    record = seen.record
    told = f"held by {record.by} since {record.at}: {record.why or 'no reason given'}"
    return Finding(Result.FAIL, told, case.rule())
