"""promote, apply: bring what one environment runs to the next one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from waybill import digest as digests
from waybill.cli import arguments, change, plan_report, reports, telling
from waybill.cli.arguments import Commands, add_rate, paced
from waybill.cli.install import add_chart
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, human
from waybill.cli.plan import add_scope
from waybill.cli.release import move_json, told
from waybill.cli.reports import Ending
from waybill.cli.telling import PROMOTED, Told, Unplanned
from waybill.deliver.environments import Environments
from waybill.errors import BadValue, Declined
from waybill.release import apply
from waybill.release.apply import Application, Judged, Person
from waybill.release.gates.case import Verdict
from waybill.release.plan import Plan
from waybill.store.sync import Copied


def register(commands: Commands) -> None:
    """Add the parsers of this module's commands."""
    parser = commands.add_parser("promote", help="bring what one environment runs to the next one")
    add_scope(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask, also on a terminal")
    _add_applying(parser)
    parser.set_defaults(run=_promote)
    parser = commands.add_parser("apply", help="carry out a plan, exactly as it was made")
    parser.add_argument(
        "plan",
        type=Path,
        metavar="PLAN",
        help="plan.json, as plan wrote it; or the directory of a bundle that brings a promotion "
        "and was loaded",
    )
    parser.add_argument(
        "--to", metavar="ENV", help="of a bundle: only a promotion to this environment"
    )
    _add_applying(parser)
    parser.set_defaults(run=_apply)


def _add_applying(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would change, no more")
    parser.add_argument(
        "--override-freeze",
        metavar="REASON",
        default="",
        type=arguments.words,
        help="do it in spite of a freeze window; the reason is kept",
    )
    telling.add_reports(parser)
    add_chart(
        parser, "for the report: a further values file, between the environment's own and its pins"
    )
    add_key(parser)
    arguments.add_reason(parser)
    arguments.add_single_writer(parser)
    add_rate(parser)


def _person(args: argparse.Namespace, console: Console) -> Person:
    return Person(args.by, args.why, args.override_freeze, signer_of(args, console))


def _promote(args: argparse.Namespace, console: Console) -> Report:
    unplanned = Unplanned(f"{args.source} → {args.target}", f"waybill.{args.source}.{args.target}")
    with reports.ending(args, console, unplanned.texts) as end:
        application = apply.prepare(
            Environments.load(arguments.project(args)),
            args.source,
            args.target,
            args.models,
            _person(args, console),
            single_writer=args.single_writer,
        )
        if application.begun and application.changes:
            digest = digests.short(application.plan.digest)
            by = application.plan.by
            console.note(f"going on with the plan {digest} of {by}, which was begun")
        said = telling.of_promotion(args, end, application)
        if not args.dry_run and application.allowed().changes and not args.yes:
            what = "\n".join(plan_report.moves(application.plan))
            if not console.confirm(f"{what}\npromote? [y/N] "):
                raise Declined()
        return _carried_out(args, console, application, said)


def _apply(args: argparse.Namespace, console: Console) -> Report:
    unplanned = Unplanned(str(args.plan), "waybill.apply")
    with reports.ending(args, console, unplanned.texts) as end:
        if args.plan.is_dir():
            return _replay(args, console, end)
        plan = Plan.load(args.plan)
        # Of one that fits no more: what was seen when it was made.
        end.tell(Told(plan).texts)
        if args.to not in (None, plan.target):
            why = f"the plan is one to {plan.target}"
            raise BadValue(what="--to", value=args.to, why=why)
        application = apply.take(
            Environments.load(arguments.project(args)),
            plan,
            str(args.plan),
            _person(args, console),
            single_writer=args.single_writer,
        )
        said = telling.of_promotion(args, end, application)
        return _carried_out(args, console, application, said)


def _replay(args: argparse.Namespace, console: Console, end: Ending) -> Report:
    # Media are read by what reads registries, too: a quarter of a second that plans do not need.
    from waybill.bundle.media import Bundle
    from waybill.release import replay

    index = Bundle.open([args.plan]).index
    found = replay.prepare(
        Environments.load(arguments.project(args)),
        index,
        str(args.plan),
        _person(args, console),
        to=args.to,
        single_writer=args.single_writer,
    )
    said = telling.of_promotion(args, end, found)
    verdicts: Sequence[Verdict] = found.allowed().verdicts
    parted = [each.model for each in found.moves if not found.goes_on(each)]
    if not args.dry_run:
        with _kept(args, console, found, said):
            verdicts = replay.carry_out(found)
        said.done(verdicts, changes=found.changes)
    rows = [told(each, dry=args.dry_run) for each in found.moves]
    rows += [f"  {model}: its history here has gone another way before" for model in parted]
    data = {
        "dryRun": args.dry_run,
        "from": found.plan.source,
        "to": found.plan.target,
        "plan": found.plan.digest,
        "models": [move_json(each) for each in found.moves],
        "parted": parted,
        "signedBy": {model: list(one.signers) for model, one in found.arrived.items()},
        "gates": [one.as_json() for one in verdicts],
    }
    return Report("\n".join(rows), data)


def _kept(
    args: argparse.Namespace, console: Console, what: Judged, said: Told
) -> AbstractContextManager[None]:
    draft = plan_report.pull_request(said.plan, PROMOTED) if what.changes else None
    return change.kept(args, console, what.promotion.target, said.change, draft)


def _carried_out(
    args: argparse.Namespace, console: Console, what: Application, said: Told
) -> Report:
    verdicts: Sequence[Verdict] = what.allowed().verdicts
    if args.dry_run:
        return _report(what, verdicts, None)
    name = f"{what.plan.source} → {what.plan.target}"
    with (
        _kept(args, console, what, said),
        console.progress(name, what.promotion.bytes) as advance,
    ):
        applied = apply.carry_out(what, paced(args, advance))
    said.done(applied.verdicts, changes=what.changes)
    return _report(what, applied.verdicts, applied.copied)


def _report(
    what: Application, verdicts: Sequence[Verdict], copied: Sequence[Copied] | None
) -> Report:
    dry = copied is None
    rows: list[str] = []
    found: list[dict[str, Any]] = []
    for at, step in enumerate(what.promotion.steps):
        blobs = len(step.missing) if copied is None else copied[at].blobs
        size = step.bytes if copied is None else copied[at].bytes
        unaliased = () if copied is None else copied[at].unaliased
        amount = f"{human(size)} in {blobs} file{'s' * (blobs > 1)}" if blobs else "nothing"
        rows.append(f"{told(step.move, dry=dry)}; {'to copy' if dry else 'copied'}: {amount}")
        rows += [f"  {name} stays the alias of another packing in the target" for name in unaliased]
        found.append(
            {**move_json(step.move), "blobs": blobs, "bytes": size, "unaliased": list(unaliased)}
        )
    data = {
        "dryRun": dry,
        "from": what.plan.source,
        "to": what.plan.target,
        "plan": what.plan.digest,
        "models": found,
        "gates": [one.as_json() for one in verdicts],
    }
    return Report("\n".join(rows), data)
