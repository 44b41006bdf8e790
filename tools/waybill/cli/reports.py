"""What commands tell besides their result: a report, test cases, the texts of a change."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from waybill.cli import change, plan_report
from waybill.cli.change import Change, add_pull_request
from waybill.cli.install import chart_of
from waybill.cli.output import Console
from waybill.deliver import values
from waybill.errors import BadFile, BadValue, Interrupted, WaybillError
from waybill.release import outlook
from waybill.release.apply import Judged
from waybill.release.gates.case import Verdict
from waybill.release.plan import Plan

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file that GitHub shows of a run."""
_UNSEEN = {"skipped": "no report was asked for (--markdown, --pull-request)", "changes": []}
"""Rendering takes longer than many a promotion."""


def add_reports(parser: argparse.ArgumentParser) -> None:
    """Of a promotion."""
    add_files(parser, "the gates")
    add_pull_request(parser)


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """`what` become test cases."""
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a report, as a comment on a change"
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help=f"write {what} as test cases (JUnit XML)"
    )
    parser.add_argument(
        "--github-step-summary",
        action="store_true",
        help=f"add the report to the file that {SUMMARY} names",
    )


@dataclass(frozen=True)
class Texts:
    """What can be left. `change`: only where a command makes one."""

    markdown: str
    junit: str
    change: Change | None = None


def write(args: argparse.Namespace, texts: Texts) -> None:
    """What `add_files` arguments ask for, and the change. Raises BadFile, BadValue."""
    _write_files(args, texts)
    if args.github_step_summary:
        path = _summary()
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(texts.markdown)
        except OSError as error:
            raise BadFile(path=path, why=error.strerror or str(error)) from error


@contextmanager
def ending(
    args: argparse.Namespace, console: Console, texts: Callable[[BaseException | None], Texts]
) -> Iterator[None]:
    """Write them when this ends, well or with an error; before it, too, for what cannot be written
    shall move nothing.

    Raises BadFile, BadValue.
    """
    if args.github_step_summary:
        _summary()
    _write_files(args, texts(None))
    try:
        yield
    except BaseException as error:
        _write_late(args, console, texts(error))
        raise
    _write_late(args, console, texts(None))


def _write_late(args: argparse.Namespace, console: Console, texts: Texts) -> None:
    """What was done is done, and has to be told, whatever becomes of the reports by now."""
    try:
        write(args, texts)
    except (BadFile, BadValue) as error:
        console.note(f"warning: {error}")


def _write_files(args: argparse.Namespace, texts: Texts) -> None:
    if args.markdown:
        values.write(args.markdown, texts.markdown)
    if args.junit:
        values.write(args.junit, texts.junit)
    if texts.change and args.pull_request:
        texts.change.write(args.pull_request)


def _summary() -> Path:
    if path := os.environ.get(SUMMARY):
        return Path(path)
    why = f"{SUMMARY} names no file: this is no run of GitHub Actions"
    raise BadValue(what="--github-step-summary", value="", why=why)


def why_ended(error: BaseException) -> str:
    if isinstance(error, WaybillError):
        return str(error)
    return str(Interrupted()) if isinstance(error, KeyboardInterrupt) else repr(error)


def seen(args: argparse.Namespace, judged: Judged, rate: int, *, render: bool = True) -> Plan:
    """The plan with what is seen of it now; `rate` in bytes a second. Needs `add_chart`."""
    rendered = _UNSEEN
    if render:
        more = [Path(file) for file in args.values]
        rendered = outlook.render(judged.promotion, chart_of(args), more)
    found = outlook.look(judged.promotion, judged.verdicts, judged.case.at, rendered, rate)
    return replace(judged.plan, outlook=found)


def of_plan(plan: Plan, outcome: str = "", failure: str = "") -> Texts:
    """`outcome` and `failure` as `plan_report` has them."""
    return Texts(
        plan_report.markdown(plan, outcome),
        plan_report.test_cases(plan, failure),
        plan_report.pull_request(plan, outcome),
    )


@dataclass
class Telling:
    """What will be told of a promotion; `plan` has what is seen of it."""

    plan: Plan
    outcome: str = ""
    failure: str = ""

    def judged(self, verdicts: Sequence[Verdict]) -> None:
        """As gates said at the last look."""
        self._gated([one.as_json() for one in verdicts])

    def _stopped(self, error: BaseException) -> None:
        gates = error.details.get("gates") if isinstance(error, WaybillError) else None
        if gates:
            self._gated(gates)
        else:
            self.failure = why_ended(error)
            self.outcome = f"stopped: {self.failure}"

    def _gated(self, gates: list[dict[str, Any]]) -> None:
        self.plan = Plan(self.plan.agreed, {**self.plan.outlook, "gates": gates})

    def texts(self, error: BaseException | None) -> Texts:
        if error:
            self._stopped(error)
        return of_plan(self.plan, self.outcome, self.failure)


@contextmanager
def fitting(args: argparse.Namespace, console: Console, plan: Plan) -> Iterator[None]:
    """Tell of a plan from a file that fits no more, with what was seen when it was made."""
    try:
        yield
    except WaybillError as error:
        _write_late(args, console, Telling(plan).texts(error))
        raise


@contextmanager
def told(args: argparse.Namespace, console: Console, judged: Judged) -> Iterator[Telling]:
    """What a promotion leaves. Raises BadFile, BadValue."""
    render = bool(args.markdown or args.pull_request or args.github_step_summary)
    telling = Telling(seen(args, judged, args.limit_rate or outlook.RATE, render=render))
    with ending(args, console, telling.texts):
        yield telling
        if judged.changes and not args.dry_run:
            telling.outcome = "promoted"
            if not args.pull_request:
                change.leave(args, console, plan_report.pull_request(telling.plan, "promoted"))
