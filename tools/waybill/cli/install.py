"""install, render, doctor: a release brought to a cluster, or only looked at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import yaml

from waybill.cli import arguments
from waybill.cli.arguments import Commands
from waybill.cli.output import CHANGES, DENIED, Console, Report, counted, table
from waybill.deliver import cluster, helm, install
from waybill.deliver.changes import Change
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.helm import Helm


def register(commands: Commands) -> None:
    """Add the parsers of this module's commands."""
    parser = commands.add_parser(
        "install", help="install or upgrade an environment's release, and wait until it serves"
    )
    add_release(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would change, no more")
    parser.add_argument(
        "--timeout", type=int, metavar="SECONDS", help="wait so long (default: by the models' size)"
    )
    parser.add_argument(
        "--detailed-exitcode", action="store_true", help="exit with 5 when something changes"
    )
    parser.set_defaults(run=run_install)
    parser = commands.add_parser(
        "render", help="print an environment's objects, as Helm makes them"
    )
    add_release(parser)
    parser.set_defaults(run=run_render)
    parser = commands.add_parser(
        "doctor", help="check the cluster and all that a release needs, before it is installed"
    )
    add_release(parser)
    parser.set_defaults(run=run_doctor)


def add_release(parser: argparse.ArgumentParser, *, nargs: str | None = None) -> None:
    """The environment, and where its chart and values are."""
    parser.add_argument("environment", metavar="ENV", nargs=nargs, help="name of the environment")
    add_chart(parser)


def add_chart(
    parser: argparse.ArgumentParser,
    values: str = "a further values file, between the environment's own and its pins",
) -> None:
    """What renders a release besides an environment's own files; `values` says what theirs are."""
    parser.add_argument(
        "--chart", metavar="PATH", help=f"the chart (default: {helm.CHART} in the project)"
    )
    parser.add_argument(
        "--values",
        metavar="FILE",
        action="append",
        default=[],
        help=values,
    )


def chart_of(args: argparse.Namespace) -> Path:
    return Path(args.chart) if args.chart else arguments.project(args) / helm.CHART


def release_of(args: argparse.Namespace) -> tuple[Environment, Helm]:
    """What `add_release` arguments name."""
    environment = Environments.load(arguments.project(args))[args.environment]
    return environment, helm.of(environment, chart_of(args), [Path(file) for file in args.values])


def run_render(args: argparse.Namespace, _: Console) -> Report:
    release = release_of(args)[1]
    objects = install.render(release)
    text = yaml.safe_dump_all(objects, sort_keys=False, width=1000, explicit_start=True)
    return Report(text.rstrip(), {"objects": objects})


def run_install(args: argparse.Namespace, console: Console) -> Report:
    release = release_of(args)[1]
    plan = install.plan(release)
    for line in _told(plan.changes):
        console.note(line)
    notes = ""
    if not args.dry_run:
        where = cluster.Cluster(release.namespace, release.context)
        install.carry_out(plan, where, console.note, args.timeout)
        notes = release.notes()
    verb = "would change" if args.dry_run else "is installed and ready, with"
    amount = counted(len(plan.changes), "object") if plan.changes else "nothing"
    done = "" if args.dry_run else " changed"
    text = f"{release.release} in {release.namespace}: {verb} {amount}{done}"
    changed = [{"verb": each.verb, "kind": each.kind, "name": each.name} for each in plan.changes]
    data = {"dryRun": args.dry_run, "revision": plan.revision, "changes": changed, "notes": notes}
    code = CHANGES if args.detailed_exitcode and plan.changes else 0
    return Report(f"{text}\n\n{notes}".strip(), data, code)


def _told(changes: Sequence[Change]) -> list[str]:
    """The diff; of an object that is new or goes, its name says enough."""
    lines = []
    for each in changes:
        lines.append(f"{each.verb} {each.kind} {each.name}")
        if each.verb == "change":
            lines += [f"  {line}" for line in each.lines]
    return lines


def run_doctor(args: argparse.Namespace, _: Console) -> Report:
    environment, release = release_of(args)
    # With it comes an HTTP client, which no other command of the chart waits for.
    from waybill.deliver import doctor

    findings = doctor.examine(environment, release)
    rows = [[each.level, each.check, each.message] for each in findings]
    bad = any(each.level == "fail" for each in findings)
    advice = [f"{each.check}: {each.hint}" for each in findings if each.hint]
    text = "\n".join([table(["", "CHECK", "FOUND"], rows), *(["", *advice] if advice else [])])
    told = {"ok": not bad, "findings": [asdict(each) for each in findings]}
    return Report(text, told, exit_code=DENIED if bad else 0)
