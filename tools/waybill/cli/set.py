"""`waybill set`: single values of an environment's values file; no other byte differs."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from waybill.cli.arguments import Commands, project
from waybill.cli.install import add_chart
from waybill.cli.output import Console, Report
from waybill.deliver import helm, surgery, values
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.surgery import Keys, Scalar
from waybill.errors import BadValue, HelmFailed, HelmMissing

_CHANGE = re.compile(r"((?:\\.|[^\\=])+)=(.*)", re.DOTALL)


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "set",
        help="set single values in an environment's values file, and touch nothing else",
        description="Set values in the file that people keep. The lines of what changes are "
        "changed or added, and no other byte. Where helm is there, a file that the chart would "
        "refuse is not written.",
    )
    parser.add_argument(
        "changes",
        nargs="+",
        metavar="PATH=VALUE",
        help='as global.models.chat.replicas=2; a string stays a string, and "…" makes one',
    )
    parser.add_argument("--env", required=True, metavar="ENV", help="whose values file")
    add_chart(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the difference, no more")
    parser.set_defaults(run=_set)


def _set(args: argparse.Namespace, console: Console) -> Report:
    environment = Environments.load(project(args))[args.env]
    path = environment.values_path
    changes = [_change(path, text) for text in args.changes]
    old = values.read(path)
    new = values.changed(path, [(keys, now) for keys, _, now in changes])
    checked = new == old or _check(args, console, environment, new)
    if new != old and not args.dry_run:
        values.write(path, new, old)
    data = {
        "values": str(path),
        "changes": [
            {"path": surgery.spelled(keys), "from": was, "to": now} for keys, was, now in changes
        ],
        "changed": new != old,
        "checked": checked,
        "dryRun": args.dry_run,
    }
    return Report("\n".join(_difference(path, old, new)) or f"{path} says so already", data)


def _change(path: Path, text: str) -> tuple[Keys, Scalar, Scalar]:
    """Path, what is there, and what is to be there. Raises BadValue, CannotSet."""
    match = _CHANGE.fullmatch(text)
    if not text.isprintable():
        raise BadValue(what="PATH=VALUE", value=text, why="a sign in it cannot be printed")
    if match is None:
        raise BadValue(what="PATH=VALUE", value=text, why="it is not a path, = and a value")
    try:
        keys = surgery.parse_path(match[1])
    except ValueError as error:
        raise BadValue(what="PATH", value=match[1], why=error) from error
    held = values.value(path, keys)
    return keys, held, values.meant(match[2], held)


def _difference(path: Path, old: str, new: str) -> Sequence[str]:
    """Only the lines that differ: the file may hold what others should not see."""
    lines = (old.splitlines(), new.splitlines())
    return list(difflib.unified_diff(*lines, str(path), str(path), lineterm="", n=0))


def _check(args: argparse.Namespace, console: Console, environment: Environment, text: str) -> bool:
    """Whether the chart takes the new values. Raises HelmFailed where it took those before."""
    chart = Path(args.chart) if args.chart else project(args) / helm.CHART
    if not chart.exists():
        console.note(f"not checked: there is no chart at {chart}")
        return False
    try:
        helm.version()
    except HelmMissing as error:
        console.note(f"not checked: {error}")
        return False
    with TemporaryDirectory() as folder:
        draft = Path(folder) / environment.values_path.name
        values.write(draft, text)
        try:
            _render(args, replace(environment, values_path=draft), chart)
        except HelmFailed as error:
            if _is_taken(args, environment, chart):
                raise
            console.note(f"the chart refuses the values, as it did before: {error}")
            return False
    return True


def _render(args: argparse.Namespace, environment: Environment, chart: Path) -> None:
    helm.of(environment, chart, [Path(file) for file in args.values]).template()


def _is_taken(args: argparse.Namespace, environment: Environment, chart: Path) -> bool:
    if not environment.values_path.is_file():
        return True
    try:
        _render(args, environment, chart)
    except HelmFailed:
        return False
    return True
