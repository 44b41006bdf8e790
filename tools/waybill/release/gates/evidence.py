"""Gates that look at what was seen of a revision in the environment before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from waybill.release.gates.case import Finding, Result, Subject
from waybill.release.policy import Evaluation
from waybill.release.policy import Health as Asked
from waybill.sign.predicates import (
    HEALTH,
    TEST_RESULT,
    Health,
    Outcome,
    Promotion,
    Trial,
    moment,
    stamp,
)

Span = tuple[datetime, datetime]


def soak(subject: Subject) -> Finding:
    """Pinned for long enough where it comes from, by the records of that store.

    Of another side it is known until it was promoted there: what has been since, nobody here knows.
    """
    case, asked = subject.case, subject.case.rules.soak
    if asked is None:
        return case.unasked("soak")
    since, ended = pinned_since(subject), case.ended.get(subject.model)
    passed = (moment(ended) if ended else case.at) - since
    ran = f"ran it from {stamp(since)} until {ended}" if ended else f"runs it since {stamp(since)}"
    told = f"{case.source} {ran}: {words(passed)} of {words(asked)}"
    return Finding(Result.PASS if passed >= asked else Result.FAIL, told, case.rule("soak"))


def pinned_since(subject: Subject) -> datetime:
    """When the source came to stand at the commit; records that stay there do not count anew.

    Steps that have come across a gap are older than that: whoever made them so has said when.
    """
    commit = subject.step.move.revision.commit
    standing = list(takewhile(lambda record: record.commit == commit, subject.past))
    if not standing:
        return subject.case.at
    plans = {record.plan for record in standing}
    told = subject.evidence if subject.case.past is None else []
    made = [
        one.parsed.at
        for one in told
        if isinstance(one.parsed, Promotion)
        and one.parsed.plan in plans
        and (one.parsed.target, one.parsed.model) == subject.place[:2]
    ]
    return max([moment(standing[-1].at), *made])


def health(subject: Subject) -> Finding:
    """Watched for long enough since it was pinned there, or did badly last, and well since then."""
    case, asked = subject.case, subject.case.rules.health
    if asked is None:
        return case.unasked("health")
    since = pinned_since(subject)
    seen = [one for one in _watched(subject, asked.signed_by) if one.until > since]
    bad = max((one for one in seen if one.why), key=lambda one: one.until, default=None)
    if bad:
        since = bad.until
        seen = [one for one in seen if not one.why and one.until > since]
    wrong = _unwell(seen, asked)
    covered = _covered((max(one.since, since), min(one.until, case.at)) for one in seen)
    if not wrong and covered < asked.span:
        wrong = f"watched in {case.source} for {words(covered)} of {words(asked.span)}"
    if wrong and bad:
        wrong += f", since it did badly until {stamp(bad.until)}: {bad.why}"
    told = wrong or (
        f"watched in {case.source} for {words(covered)}: {sum(one.errors for one in seen)} of "
        f"{sum(one.requests for one in seen)} requests failed"
    )
    return Finding(Result.FAIL if wrong else Result.PASS, told, case.rule("health"))


def _watched(subject: Subject, keys: frozenset[str]) -> list[Health]:
    found = [one.parsed for one in subject.signed_by(keys, HEALTH)]
    return [
        one
        for one in found
        if isinstance(one, Health) and (one.environment, one.model, one.commit) == subject.place
    ]


def _unwell(seen: Sequence[Health], asked: Asked) -> str:
    """What is wrong; empty where nothing is."""
    requests, errors = sum(one.requests for one in seen), sum(one.errors for one in seen)
    if requests < asked.requests:
        return f"{requests} of {asked.requests} requests were seen"
    if asked.error_rate is not None and errors > asked.error_rate * requests:
        return f"{errors} of {requests} requests failed, and {asked.error_rate:.2%} may"
    slowest = max((one.ttft_seconds.get("p95", 0.0) for one in seen), default=0.0)
    if asked.ttft_p95 is not None and slowest > asked.ttft_p95:
        return f"the first token took {slowest:g} s (p95), and {asked.ttft_p95:g} s may pass"
    return ""


def _covered(spans: Iterable[Span]) -> timedelta:
    """The time that the spans cover together; what several cover counts once."""
    total, reached = timedelta(), None
    for since, until in sorted(spans):
        start = since if reached is None else max(since, reached)
        total += max(until - start, timedelta())
        reached = until if reached is None else max(until, reached)
    return total


def evaluation(subject: Subject) -> Finding:
    """The newest result of every test that the policy names."""
    case, asked = subject.case, subject.case.rules.evaluations
    if not asked:
        return case.unasked("evaluations")
    wrong = {name: why for name, one in asked.items() if (why := _untested(subject, name, one))}
    rule = case.rule("evaluations", *([next(iter(wrong))] if wrong else []))
    told = "; ".join(wrong.values()) or f"passed: {', '.join(asked)}"
    return Finding(Result.FAIL if wrong else Result.PASS, told, rule)


def _untested(subject: Subject, name: str, asked: Evaluation) -> str:
    """Why the test does not count as passed; empty where it does."""
    parsed = [one.parsed for one in subject.signed_by(asked.signed_by, TEST_RESULT)]
    found = [
        one
        for one in parsed
        if isinstance(one, Trial)
        and one.name == name
        and asked.environment in (None, one.environment)
    ]
    if not found:
        where = f" in {asked.environment}" if asked.environment else ""
        return f"{name}: no result{where} signed by {', '.join(sorted(asked.signed_by))}"
    newest = max(found, key=lambda one: one.at)
    good = {Outcome.PASSED, *([Outcome.WARNED] if asked.takes_warnings else [])}
    if newest.result not in good:
        return f"{name}: {newest.result} in {newest.environment} at {stamp(newest.at)}"
    if asked.max_age is not None and subject.case.at - newest.at > asked.max_age:
        return f"{name}: its result of {stamp(newest.at)} is older than {words(asked.max_age)}"
    return ""


def words(length: timedelta) -> str:
    """A time as people say it, in one unit or two."""
    seconds = max(0, int(length.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(parts[:2]) or "0 s"
