"""What is told of a promotion, to machines and reviews, however it ends."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from waybill.cli import change, plan_report
from waybill.cli.install import chart_of
from waybill.cli.output import Console
from waybill.cli.reports import Texts, add_files, ending, why_ended, write_late
from waybill.errors import WaybillError
from waybill.release import outlook
from waybill.release.apply import Judged
from waybill.release.gates.case import Verdict
from waybill.release.plan import Plan

_UNSEEN = {"skipped": "no report was asked for (--markdown, --pull-request)", "changes": []}
"""Rendering takes longer than many a promotion."""


def add_reports(parser: argparse.ArgumentParser) -> None:
    """Of a promotion."""
    add_files(parser, "the gates")
    change.add_pull_request(parser)


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
        write_late(args, console, Telling(plan).texts(error))
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
