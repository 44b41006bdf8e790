"""What a promotion tells besides its result: a report, test cases, the texts of a change."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from waybill.cli import plan_report
from waybill.cli.change import add_pull_request
from waybill.cli.install import chart_of
from waybill.cli.output import Console
from waybill.deliver import values
from waybill.errors import BadFile, BadValue, Interrupted, WaybillError
from waybill.release import outlook
from waybill.release.apply import Judged
from waybill.release.plan import Plan

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file that GitHub shows of a run."""


def add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a report, as a comment on a change"
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="write the gates as test cases (JUnit XML)"
    )
    parser.add_argument(
        "--github-step-summary",
        action="store_true",
        help=f"add the report to the file that {SUMMARY} names",
    )
    add_pull_request(parser)


def seen(args: argparse.Namespace, judged: Judged, rate: int) -> Plan:
    """The plan with what is seen of it now; `rate` in bytes a second. Needs `add_chart`."""
    more = [Path(file) for file in args.values]
    rendered = outlook.render(judged.promotion, chart_of(args), more)
    found = outlook.look(judged.promotion, judged.verdicts, judged.case.at, rendered, rate)
    return replace(judged.plan, outlook=found)


def write(args: argparse.Namespace, plan: Plan, outcome: str = "", failure: str = "") -> None:
    """What `add_reports` arguments ask for. Raises BadFile, BadValue."""
    _write_files(args, plan, outcome, failure)
    if args.github_step_summary:
        path = _summary()
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(plan_report.markdown(plan, outcome))
        except OSError as error:
            raise BadFile(path=path, why=error.strerror or str(error)) from error


def _write_files(
    args: argparse.Namespace, plan: Plan, outcome: str = "", failure: str = ""
) -> None:
    if args.markdown:
        values.write(args.markdown, plan_report.markdown(plan, outcome))
    if args.junit:
        values.write(args.junit, plan_report.junit(plan, failure))
    if args.pull_request:
        plan_report.pull_request(plan, outcome).write(args.pull_request)


def _summary() -> Path:
    if path := os.environ.get(SUMMARY):
        return Path(path)
    why = f"{SUMMARY} names no file: this is no run of GitHub Actions"
    raise BadValue(what="--github-step-summary", value="", why=why)


@contextmanager
def told(args: argparse.Namespace, console: Console, judged: Judged) -> Iterator[None]:
    """Write the reports when this ends, well or not; before it too, for what cannot be written
    shall move nothing.

    Raises BadFile, BadValue.
    """
    if not (args.markdown or args.junit or args.pull_request or args.github_step_summary):
        yield
        return
    plan = seen(args, judged, args.limit_rate or outlook.RATE)
    if args.github_step_summary:
        _summary()
    _write_files(args, plan)
    try:
        yield
    except WaybillError as error:
        _write_failed(args, console, plan, error)
        raise
    except KeyboardInterrupt:
        _write_failed(args, console, plan, Interrupted())
        raise
    outcome = "promoted" if judged.changes and not args.dry_run else ""
    _write_late(args, console, plan, outcome)


def _write_failed(
    args: argparse.Namespace, console: Console, plan: Plan, error: WaybillError
) -> None:
    """The error is what people have to see, also where no report can be written."""
    why = ""
    if "gates" in error.details:
        plan = Plan(plan.agreed, {**plan.outlook, "gates": error.details["gates"]})
    else:
        why = str(error)
    _write_late(args, console, plan, why and f"stopped: {why}", why)


def _write_late(
    args: argparse.Namespace, console: Console, plan: Plan, outcome: str, failure: str = ""
) -> None:
    """What was done is done, and has to be told, whatever becomes of the reports by now."""
    try:
        write(args, plan, outcome, failure)
    except (BadFile, BadValue) as error:
        console.note(f"warning: {error}")
