"""`waybill rollback`: back to an earlier revision, in the cluster too where that is asked."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from waybill.cli import arguments, change
from waybill.cli.arguments import Commands
from waybill.cli.install import add_chart, release_of
from waybill.cli.output import Console, Report
from waybill.cli.release import add_model, add_writing, move_json, told
from waybill.deliver import helm, install
from waybill.deliver.cluster import Cluster
from waybill.deliver.environments import Environments
from waybill.deliver.live import Engines
from waybill.errors import BadFile, HelmFailed, HelmMissing, WaybillError
from waybill.release import delay, hold, move, rollback
from waybill.release.delay import Delay
from waybill.release.move import Move, Reason

_NAMED = 3
"""As many objects are named to people."""


def register(commands: Commands) -> None:
    parser = commands.add_parser("rollback", help="go back to an earlier revision; sends nothing")
    parser.add_argument("environment", metavar="ENV", help="name of the environment")
    add_model(parser)
    parser.add_argument(
        "--to", metavar="COMMIT", help="a commit of the history (default: the one before)"
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="bring it to the cluster, too: within seconds where its engines run already",
    )
    add_writing(parser)
    change.add_pull_request(parser)
    add_chart(parser)
    parser.set_defaults(run=run_rollback)


def run_rollback(args: argparse.Namespace, console: Console) -> Report:
    environments = Environments.load(arguments.project(args))
    environment = environments[args.environment]
    step = rollback.plan(environment, args.model, args.to, single_writer=args.single_writer)
    ready = _ready(args, step) if args.install else None
    wait = _delay(args, step, ready)
    console.note(_said(step, wait, ready))
    if args.install and (others := _others(args)):
        console.note(f"it installs what else was edited, too: {others}")
    if args.pull_request:
        change.of_rollback(step, args.why).write(args.pull_request)
    if not args.dry_run:
        holds = hold.puts_hold(environments) if rollback.goes_back(step) else None
        reason = Reason(args.by, args.why, hold=holds)
        said = change.of_rollback(step, args.why)
        with change.kept(args, console, environment, lambda *_: said, said):
            move.carry_out([step], reason=reason)
        if args.install:
            _brought(args, console)
    data: dict[str, Any] = {"dryRun": args.dry_run, **move_json(step), "delay": None}
    if isinstance(wait, Delay):
        data["delay"] = {"seconds": wait.seconds, "silent": wait.silent}
    return Report(told(step, dry=args.dry_run), data)


def _ready(args: argparse.Namespace, step: Move) -> bool:
    """Whether the engines that are to answer run. Raises ClusterUnreachable, ClusterForbidden."""
    release = release_of(args)[1]
    cluster = Cluster(release.namespace, release.context)
    return not Engines(cluster, release.release, step.model, step.revision).lacks()


def _delay(args: argparse.Namespace, step: Move, ready: bool | None) -> Delay | WaybillError:
    """Why it is not known, where chart, values or helm are not at hand: the pins want none."""
    chart = Path(args.chart) if args.chart else arguments.project(args) / helm.CHART
    try:
        return delay.of(step, chart, [Path(file) for file in args.values], ready=ready)
    except (BadFile, HelmMissing, HelmFailed) as error:
        return error


def _others(args: argparse.Namespace) -> str:
    """What the files say already and the release does not, as far as it is known."""
    with suppress(WaybillError):
        found = [f"{each.kind} {each.name}" for each in install.plan(release_of(args)[1]).changes]
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        return ", ".join(found[:_NAMED]) + more
    return ""


def _said(step: Move, wait: Delay | WaybillError, ready: bool | None) -> str:
    short = step.revision.short
    if isinstance(wait, WaybillError):
        return f"how long it takes until {short} answers is not known: {wait}"
    if not wait.seconds:
        where = "run already" if ready else "are in the files: where they run"
        return f"the engines of {short} {where}, it answers as soon as the pins are installed"
    until = "nobody answers" if wait.silent else "the present one answers"
    return f"{short} has to be loaded and started: up to {wait.seconds} s, and {until} until then"


def _brought(args: argparse.Namespace, console: Console) -> None:
    """Said again, the command would not find the same one before it."""
    try:
        _install(args, console)
    except WaybillError:
        where = args.environment
        console.note(f"ref and pins have gone back; bring them there: waybill install {where}")
        raise


def _install(args: argparse.Namespace, console: Console) -> None:
    release = release_of(args)[1]
    cluster = Cluster(release.namespace, release.context)
    plan = install.plan(release)
    if {each.kind for each in plan.changes} <= {"ConfigMap"}:
        install.reroute(release, cluster, console.note)
    else:
        install.carry_out(plan, cluster, console.note)
