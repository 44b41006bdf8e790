"""`sync`: a whole store into another."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from waybill.cli.arguments import (
    FORMS,
    Commands,
    add_sending,
    add_side,
    add_single_writer,
    add_trust,
    of_side,
    open_store,
    paced,
    policy_of,
)
from waybill.cli.output import Console, Report, about, counted, human
from waybill.errors import Corrupt, Unsigned, WaybillError
from waybill.store import mirror
from waybill.store.audit import UNTRUSTED
from waybill.store.layout import RepoId
from waybill.store.mirror import Fate, Mirrored, Mirroring, RefStep


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "sync", help="bring all of a store into another: to move, or to keep a copy"
    )
    parser.add_argument("source", metavar="SRC", help=f"where to read: {FORMS}")
    parser.add_argument("target", metavar="DST", help="where to write, in the same forms")
    for side in ("from", "to"):
        add_side(parser, side)
    parser.add_argument("--repo", metavar="OWNER/NAME", help="this one alone (default: all)")
    add_sending(parser)
    add_trust(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, no more")
    add_single_writer(parser)
    parser.set_defaults(run=_sync)


def _sync(args: argparse.Namespace, console: Console) -> Report:
    repo = RepoId.parse(args.repo) if args.repo else None
    writing = {name: getattr(args, name) for name in ("single_writer", "capacity", "trust")}
    here, there = of_side(args, "from", args.source), of_side(args, "to", args.target, **writing)
    stores = open_store(here, side="from-"), open_store(there, side="to-")
    mirroring = mirror.plan(*stores, repo, policy_of(there))
    if args.dry_run:
        return _report(mirroring, None)
    with console.progress("sync", mirroring.bytes) as advance:
        done = mirror.carry_out(mirroring, paced(args, advance))
    return _report(mirroring, done)


def _report(mirroring: Mirroring, done: Mirrored | None) -> Report:
    found, fates = mirroring.found, Counter(step.fate for step in mirroring.steps)
    wrong = done.wrong if done else mirroring.wrong
    sent = [blob for blob in mirroring.missing if blob.digest not in wrong]
    data = {
        "source": mirroring.source.url,
        "target": mirroring.target.url,
        "dryRun": done is None,
        "revisions": done.revisions if done else len(found.manifests),
        "blobs": len(sent),
        "bytes": sum(blob.size for blob in sent),
        "skipped": len(found.blobs) - len(mirroring.missing),
        "moved": done.moved if done else fates[Fate.MOVES],
        "refs": [_ref_json(step) for step in mirroring.steps],
        "unaliased": list(done.unaliased) if done else [],
        "wrong": {what: str(error) for what, error in wrong.items()},
    }
    return Report("\n".join(_lines(mirroring, wrong, data)), data, exit_code=_code(fates, wrong))


def _code(fates: Counter[Fate], wrong: Mapping[str, WaybillError]) -> int:
    """Damage goes before distrust, and that before another history."""
    if any(not isinstance(error, UNTRUSTED) for error in wrong.values()):
        return Corrupt.exit_code
    return Unsigned.exit_code if wrong else 1 if fates[Fate.APART] else 0


def _lines(
    mirroring: Mirroring, wrong: Mapping[str, WaybillError], data: dict[str, Any]
) -> list[str]:
    target, dry = mirroring.target.url, data["dryRun"]
    # What is not trusted is named by its digest, which is that of the commit.
    lines = [
        str(error) if isinstance(error, UNTRUSTED) else about(what, error)
        for what, error in wrong.items()
    ]
    for step in mirroring.steps:
        name = f"{step.ref} of {step.wanted.record.repo}"
        if step.fate is Fate.APART:
            lines.append(f"{name} has another history in {target}, and stays: {_by_hand(step)}")
        if step.fate is Fate.AHEAD:
            lines.append(f"{name} has gone on in {target}, and stays as it is there")
    lines += [
        f"{name} stays the alias of another packing in {target}" for name in data["unaliased"]
    ]
    send, move = ("to send", "to move") if dry else ("sent", "moved")
    lines.append(
        f"{counted(data['revisions'], 'revision')}: {counted(data['blobs'], 'blob')} {send} "
        f"({human(data['bytes'])}), {data['skipped']} were there; "
        f"{counted(data['moved'], 'ref')} {move}"
    )
    return lines


def _by_hand(step: RefStep) -> str:
    how = "waybill pin" if step.ref.kind == "pins" else "sideload its bundle there"
    return f"to bring it to {step.wanted.commit}, {how}"


def _ref_json(step: RefStep) -> dict[str, Any]:
    return {
        "repo": step.wanted.record.repo,
        "ref": str(step.ref),
        "commit": step.wanted.commit,
        "held": step.held.commit if step.held else None,
        "fate": step.fate.value,
    }
