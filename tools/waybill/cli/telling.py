"""What is told of a promotion, to machines and reviews, however it ends."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from waybill.cli import change, junit, plan_report
from waybill.cli.change import Change
from waybill.cli.install import chart_of
from waybill.cli.output import plain
from waybill.cli.reports import Ending, Texts, add_files, why_ended
from waybill.deliver.pins import Pins
from waybill.errors import WaybillError
from waybill.release import outlook
from waybill.release.apply import Judged
from waybill.release.gates.case import Verdict
from waybill.release.plan import Plan
from waybill.sign.predicates import stamp
from waybill.sign.trust import now

PROMOTED = "promoted"
_UNSEEN = {"skipped": "nobody asked for it (--markdown, --pull-request)", "changes": []}
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


def of_plan(plan: Plan) -> Texts:
    """As it is, before anybody applies it."""
    return Texts(
        plan_report.markdown(plan), plan_report.test_cases(plan), plan_report.pull_request(plan)
    )


@dataclass(frozen=True)
class Unplanned:
    """Of what has no plan as yet; `what` is what people call it, `name` the test suite."""

    what: str
    name: str

    def texts(self, error: BaseException | None) -> Texts:
        why = why_ended(error) if error else ""
        cases = [junit.Case(self.name, "promotion", "error" if why else "", why)]
        headline = plain(f"stopped: {why}") if why else "nothing to do"
        report = f"## {plain(self.what)}: {headline}\n"
        return Texts(report, junit.suite(self.name, stamp(now()), cases))


@dataclass
class Told:
    """`plan` has what is seen of it; `moved`: by then, where that is not all of its models."""

    plan: Plan
    outcome: str = ""
    moved: Collection[str] | None = None

    def done(self, verdicts: Sequence[Verdict], *, changes: bool) -> None:
        """`verdicts` are those of the last look."""
        self.plan = _gated(self.plan, [one.as_json() for one in verdicts])
        self.outcome = PROMOTED if changes else ""

    def texts(self, error: BaseException | None) -> Texts:
        plan, outcome, failure = self.plan, self.outcome, ""
        gates = error.details.get("gates") if isinstance(error, WaybillError) else None
        if gates:
            plan = _gated(plan, gates)
        elif error:
            failure = why_ended(error)
            outcome = f"stopped: {failure}"
        return Texts(
            plan_report.markdown(plan, outcome),
            plan_report.test_cases(plan, failure),
            plan_report.pull_request(plan, outcome, self.moved),
        )

    def change(self, before: Pins, after: Pins) -> Change | None:
        """The texts of what has moved between the two; None where nothing has."""
        self.moved = [
            name for name in self.plan.models if after.models.get(name) != before.models.get(name)
        ]
        return plan_report.pull_request(self.plan, PROMOTED, self.moved) if self.moved else None


def _gated(plan: Plan, gates: list[dict[str, Any]]) -> Plan:
    return Plan(plan.agreed, {**plan.outlook, "gates": gates})


def of_promotion(args: argparse.Namespace, end: Ending, judged: Judged) -> Told:
    """From here on its reports are told. Raises BadFile."""
    render = bool(args.markdown or args.pull_request or args.github_step_summary)
    found = Told(seen(args, judged, args.limit_rate or outlook.RATE, render=render))
    end.tell(found.texts)
    return found
