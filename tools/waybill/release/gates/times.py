"""Gates of time: freeze windows, and holds that somebody has put on a model."""

from __future__ import annotations

from waybill.release.freeze import Freeze, Window
from waybill.release.freeze import frozen as frozen_by
from waybill.release.gates.case import Case, Finding, Result, Subject


def freeze(case: Case) -> Finding:
    """In no window that denies, and in one that allows where any does; a reason given for it
    overrides them all."""
    windows = _windows(case)
    if not windows:
        return Finding(Result.SKIP, f"no window for {case.target}", case.place("freeze"))
    now = frozen(case)
    if now is None:
        allowing = [one.name for one in windows if one.allows and one.until(case.at)]
        told = f"allowed by {', '.join(allowing)}" if allowing else "in no window"
        return Finding(Result.PASS, told, case.place("freeze"))
    rule = case.place("freeze", now.window.name)
    if case.override:
        return Finding(Result.PASS, f"overridden ({now.told()}): {case.override}", rule)
    return Finding(Result.FAIL, now.told(), rule)


def frozen(case: Case) -> Freeze | None:
    """What freezes the target at the case's time."""
    return frozen_by(_windows(case), case.at)


def _windows(case: Case) -> list[Window]:
    return [one for one in case.policy.windows if one.holds_for(case.target)]


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
