"""plan, approve: what a promotion would do, looked at and agreed to before it is done."""

from __future__ import annotations

import argparse
from pathlib import Path

from waybill.cli import arguments, plan_report, reports, telling
from waybill.cli.arguments import Commands
from waybill.cli.install import add_chart
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, counted, human, table
from waybill.cli.telling import Unplanned
from waybill.deliver.environments import Environments
from waybill.release import apply, approve, outlook
from waybill.release.apply import Application, Person
from waybill.release.gates import approvals
from waybill.release.plan import Plan
from waybill.sign import trust


def register(commands: Commands) -> None:
    """Add the parsers of this module's commands."""
    parser = commands.add_parser(
        "plan", help="show what a promotion would do, and what every gate says; writes no pin"
    )
    add_scope(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the plan, for apply")
    telling.add_reports(parser)
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit with 5 when something changes, 3 when it is denied, 6 when it is frozen alone",
    )
    parser.add_argument(
        "--rate",
        type=arguments.size,
        default=outlook.RATE,
        metavar="SIZE",
        help="reckon with so many bytes a second (default: 100MB)",
    )
    add_chart(parser)
    add_key(parser)
    _add_by(parser, "who makes it, and so cannot approve it")
    arguments.add_single_writer(parser)
    parser.set_defaults(run=_plan)
    parser = commands.add_parser("approve", help="sign that you agree to a plan")
    parser.add_argument("plan", type=Path, metavar="PLAN", help="plan.json")
    add_key(parser, required=True)
    _add_by(parser, "who agrees")
    arguments.add_single_writer(parser)
    parser.set_defaults(run=_approve)


def add_scope(parser: argparse.ArgumentParser) -> None:
    """What is promoted: from where, to where, which models."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models (default: all pinned)")
    parser.add_argument("--from", dest="source", metavar="ENV", required=True, help="from here")
    parser.add_argument("--to", dest="target", metavar="ENV", required=True, help="to the next one")


def _add_by(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--by",
        default=arguments.whoami(),
        type=arguments.words,
        help=f"{what} (default: the user)",
    )


def _plan(args: argparse.Namespace, console: Console) -> Report:
    unplanned = Unplanned(f"{args.source} → {args.target}", f"waybill.{args.source}.{args.target}")
    with reports.ending(args, console, unplanned.texts) as end:
        found = apply.prepare(
            Environments.load(arguments.project(args)),
            args.source,
            args.target,
            args.models,
            Person(args.by, signer=signer_of(args, console)),
            single_writer=args.single_writer,
        )
        judged = approve.sign(found, trust.now())
        plan = telling.seen(args, judged, args.rate)
        if args.out:
            plan.write(args.out)
        end.tell(lambda _: telling.of_plan(plan))
    code = _exit_code(judged) if args.detailed_exitcode else 0
    return Report(_text(plan), plan.as_json(), code)


def _exit_code(judged: Application) -> int:
    denying = {one.gate for one in judged.verdicts if one.denies}
    if not judged.changes:
        return 0
    return {frozenset(): 5, frozenset({"freeze"}): 6}.get(frozenset(denying), 3)


def _text(plan: Plan) -> str:
    rendered = plan.outlook["rendered"]
    changed = [f"{one['verb']} {one['kind']} {one['name']}" for one in rendered["changes"]]
    unknown = rendered["skipped"]
    cluster = "nothing changes" if unknown is None else f"not known: {' '.join(unknown.split())}"
    lines = [
        *plan_report.moves(plan),
        f"to send: {human(plan.outlook['bytes'])}, about {plan_report.duration(plan)}",
        f"in the cluster: {', '.join(changed) or cluster}",
        "",
        _facts_table(plan),
        "",
        gates_table(plan),
        "",
        f"plan {plan.digest}: {plan_report.headline(plan)}",
    ]
    return "\n".join(lines)


def _facts_table(plan: Plan) -> str:
    rows = [[model, *plan_report.facts(plan, model)] for model in plan.models]
    return table(["MODEL", *(name.upper() for name in plan_report.FACTS)], rows)


def gates_table(plan: Plan) -> str:
    rows = [
        [one.result, one.gate, one.model or "-", one.reason, one.place]
        for one in plan_report.verdicts(plan)
    ]
    return table(["", "GATE", "MODEL", "WHY", "RULE"], rows)


def _approve(args: argparse.Namespace, console: Console) -> Report:
    signer = signer_of(args, console)
    assert signer  # noqa: S101 - the flag is required
    environments = Environments.load(arguments.project(args))
    plan = Plan.load(args.plan)
    judged = apply.take(
        environments, plan, str(args.plan), Person(args.by), single_writer=args.single_writer
    )
    if why := approvals.unsigned(judged.case):
        console.note(f"warning: {why}")
    denying = approve.objections(judged)
    for one in denying:
        console.note(f"warning: {one.gate} denies it as of now: {one.reason} ({one.place})")
    names, own = approve.counts_as(judged, signer)
    kept = approve.approve(judged, signer, trust.now())
    whose = "by a key that the policy does not count"
    if own:
        whose = f"as {', '.join(own)}, which does not count: the plan is their own"
    if names:
        whose = f"as {', '.join(names)}"
    text = f"approved {plan.digest} {whose}: {counted(len(kept), 'model')} for {plan.target}"
    data = {
        "plan": plan.digest,
        "countsAs": names,
        "own": own,
        "denying": [one.as_json() for one in denying],
        "statements": dict(kept),
    }
    return Report("\n".join([*plan_report.moves(plan), text]), data)
