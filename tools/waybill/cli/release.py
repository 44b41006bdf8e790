"""pin, status, history."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from waybill import digest as digests
from waybill.cli import arguments
from waybill.cli.arguments import Commands
from waybill.cli.output import Console, Report, table
from waybill.deliver.environments import Environments
from waybill.errors import BadValue, BucketNotFound, NotAStore, StoreUnreachable
from waybill.release import history, move, pin, status
from waybill.release.move import Move, Reason
from waybill.release.status import Cell, Place
from waybill.store.layout import RepoId
from waybill.store.record import Record


def register(commands: Commands) -> None:
    """Add the parsers of this module's commands."""
    _register_pin(commands)
    parser = commands.add_parser("status", help="which revision each environment runs")
    parser.set_defaults(run=run_status)
    parser = commands.add_parser(
        "history", help="every step of a model in each environment, newest first"
    )
    add_model(parser)
    parser.add_argument("--env", metavar="ENV", help="one environment (default: all)")
    parser.set_defaults(run=run_history)


def _register_pin(commands: Commands) -> None:
    parser = commands.add_parser("pin", help="pin a model of an environment to an exact revision")
    parser.add_argument("environment", metavar="ENV", help="name of the environment")
    add_model(parser)
    parser.add_argument(
        "revision", metavar="OWNER/NAME@COMMIT", help="repo and commit (40 hex digits)"
    )
    add_writing(parser)
    parser.set_defaults(run=run_pin)


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="key of the model in the values files")


def add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would change, no more")
    arguments.add_reason(parser)
    arguments.add_single_writer(parser)


def _environments(args: argparse.Namespace) -> Environments:
    return Environments.load(arguments.project(args))


def run_pin(args: argparse.Namespace, _: Console) -> Report:
    repo, at, revision = args.revision.partition("@")
    if not (at and revision):
        raise BadValue(what="revision", value=args.revision, why="it must be OWNER/NAME@COMMIT")
    environment = _environments(args)[args.environment]
    step = pin.plan(
        environment, args.model, RepoId.parse(repo), revision, single_writer=args.single_writer
    )
    if not args.dry_run:
        move.carry_out([step], reason=Reason(args.by, args.why))
    return Report(told(step, dry=args.dry_run), {"dryRun": args.dry_run, **move_json(step)})


def told(step: Move, *, dry: bool) -> str:
    where = f"{step.model} in {step.environment.name}"
    what = f"{step.revision.repo}@{step.revision.short}"
    if not step.changes:
        return f"{where}: stands at {what} already"
    verb = "would move" if dry else "moved"
    came = f" from {step.pinned.short}" if step.pinned else ""
    return f"{where}: {verb}{came} to {what}"


def move_json(step: Move) -> dict[str, Any]:
    return {
        "environment": step.environment.name,
        "model": step.model,
        "repo": step.revision.repo,
        "commit": step.revision.commit,
        "digest": step.revision.digest,
        "size": step.revision.size,
        "previous": step.pinned.commit if step.pinned else None,
        "changes": step.changes,
    }


def run_status(args: argparse.Namespace, _: Console) -> Report:
    places = status.status(_environments(args))
    models = sorted({model for place in places for model in place.models})
    rows = [[model, *[_cell_text(place, model) for place in places]] for model in models]
    head = ["MODEL", *[place.environment.upper() for place in places]]
    lines = [table(head, rows) if rows else "nothing is pinned yet", *_notes(places)]
    return Report("\n".join(lines), {"environments": [_place_json(place) for place in places]})


def _cell_text(place: Place, model: str) -> str:
    cell = place.models.get(model)
    if cell is None:
        return _unread(place) or "-"
    parts = [digests.short_commit(cell.pinned) if cell.pinned else "not pinned"]
    if cell.pin and (weight := cell.pin.traffic["stable"].weight) != 100:
        parts[0] += f" {weight} %"
    if cell.standing and not place.differs(model):
        parts[0] += f" {age(cell.standing.first.at)}"
    if cell.pin and cell.pin.previous:
        parts.append(f"previous {cell.pin.previous.short}")
    marks = {
        f"behind {cell.behind}": cell.behind is not None,
        "differs": place.differs(model),
        "on hold": cell.head is not None and cell.head.record.hold,
    }
    told = [*parts, *[mark for mark, holds in marks.items() if holds], _unread(place)]
    return ", ".join(filter(None, told))


def _unread(place: Place) -> str:
    """Why its store tells nothing, in a word; empty where it does."""
    match place.error:
        case None:
            return ""
        case NotAStore() | BucketNotFound():
            return "no store"
        case StoreUnreachable():
            return "unreachable"
    return "unreadable"


def _notes(places: Sequence[Place]) -> list[str]:
    """Below the table: what a mark means, in a sentence."""
    notes = [f"{place.environment}: {place.error}" for place in places if place.error]
    for place in places:
        for model in place.models:
            if place.differs(model):
                cell = place.models[model]
                file, store = cell.pinned or "nothing", cell.stands or "nothing"
                notes.append(
                    f"{place.environment}: the pins file has {model} at {file}, "
                    f"but the store's ref stands at {store}"
                )
    return ["", *notes] if notes else []


def _place_json(place: Place) -> dict[str, Any]:
    return {
        "name": place.environment,
        "store": place.store,
        "error": place.error and str(place.error),
        "models": {
            model: {**_cell_json(cell), "differs": place.differs(model)}
            for model, cell in place.models.items()
        },
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    traffic = cell.pin.traffic if cell.pin else {}
    return {
        "repo": cell.pin.stable.repo if cell.pin else cell.head and cell.head.record.repo,
        "commit": cell.pinned,
        "traffic": {
            name: {"commit": slot.commit, "weight": slot.weight} for name, slot in traffic.items()
        },
        "ref": cell.stands,
        "since": cell.standing.first.at if cell.standing else None,
        "by": cell.standing.first.by if cell.standing else None,
        "hold": cell.head.record.hold if cell.head else False,
        "behind": cell.behind,
    }


def age(at: str, now: datetime | None = None) -> str:
    """How long ago an ISO time was, in one unit."""
    passed = (now or datetime.now(UTC)) - datetime.fromisoformat(at)
    seconds = max(0, int(passed.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def run_history(args: argparse.Namespace, _: Console) -> Report:
    found = history.history(_environments(args), args.model, args.env)
    steps = [(name, record) for name, records in found.records.items() for record in records]
    planned = any(record.plan for _, record in steps)
    held = any(record.hold for _, record in steps)
    rows = [
        [name, record.commit, record.at, record.by]
        + [digests.short(record.plan or "-")] * planned
        + ["on hold" if record.hold else "-"] * held
        + [record.why]
        for name, record in steps
    ]
    data = {name: [_record_json(each) for each in steps] for name, steps in found.records.items()}
    notes = [f"{name}: {error}" for name, error in found.errors.items()]
    more = ["PLAN"] * planned + ["HOLD"] * held
    table_text = table(["ENV", "COMMIT", "WHEN", "BY", *more, "WHY"], rows)
    text = "\n".join([table_text, "", *notes] if notes else [table_text])
    told = {"model": args.model, "environments": data, "errors": dict(found.errors)}
    return Report(text, told)


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "repo": record.repo,
        "ref": record.ref,
        "commit": record.commit,
        "previous": record.previous,
        "at": record.at,
        "by": record.by,
        "why": record.why,
        "plan": record.plan,
        "evidence": list(record.evidence),
        "hold": record.hold,
    }
