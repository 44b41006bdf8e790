"""`waybill sideload`: from a bundle into a store."""

from __future__ import annotations

import argparse
from dataclasses import replace

from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Check, Decision, Loading
from waybill.bundle.tray import Tray
from waybill.cli.arguments import (
    Commands,
    add_folders,
    add_reason,
    add_sending,
    add_store,
    add_trust,
    open_store,
    paced,
    policy_of,
)
from waybill.cli.output import Console, Report, human
from waybill.store.layout import Ref


def register(commands: Commands) -> None:
    parser = commands.add_parser("sideload", help="load a bundle into a store")
    add_folders(parser)
    add_store(parser, "--to", "the store to load into", writes=True)
    parser.add_argument("--branch", default="main", help="branch to move (default: main)")
    parser.add_argument("--tag", help="tag to set, too")
    deep = parser.add_mutually_exclusive_group()
    deep.add_argument(
        "--verify",
        choices=[Check.PRESENT.value, Check.DEEP.value],
        default=Check.PRESENT.value,
        help="deep: read back what is there already, and stop where it is damaged",
    )
    deep.add_argument(
        "--repair", action="store_true", help="read it back, and replace what is damaged"
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="one drive, many media: ask for the next one, and go on when its parts are there",
    )
    add_sending(parser)
    add_trust(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent")
    add_reason(parser)
    parser.set_defaults(run=_sideload)


def _sideload(args: argparse.Namespace, console: Console) -> Report:
    bundle = Bundle.open(args.folders)
    if args.wait:
        bundle = replace(bundle, tray=Tray(console.note))
    refs = [Ref("heads", args.branch), *([Ref("tags", args.tag)] if args.tag else [])]
    decision = Decision(tuple(refs), args.by, args.why or "sideloaded from a bundle")
    store, policy = open_store(args), policy_of(args)
    check = Check.REPAIR if args.repair else Check(args.verify)
    with console.progress("look", 0) as advance:
        loading = Loading.plan(BundleCargo(bundle), store, decision, check, advance, policy)
    total = len({d for one in bundle.index.revisions for d in one.manifest.blobs})
    missing, damaged = len(loading.missing), len(loading.damaged)
    sent = {"store": store.url, "blobs": total, "missing": missing, "damaged": damaged}
    what = f"{missing} of {total} blobs ({human(loading.size)}), {total - missing} are there"
    if damaged:
        what += f"; {damaged} of these {'were' if not args.dry_run else 'are'} damaged"
    if args.dry_run:
        return Report(f"would send {what}", {**sent, "bytes": loading.size, "dryRun": True})
    with console.progress("sideload", loading.size) as advance:
        loaded = loading.run(paced(args, advance))
    lines = [f"{one.repo} at {one.commit} is in {store.url}: sent {what}" for one in loaded]
    lines += [f"note: {note}" for one in loaded for note in one.notes]
    revisions = [
        {"repo": one.repo, "commit": one.commit, "refs": list(one.moved), "notes": list(one.notes)}
        for one in loaded
    ]
    return Report("\n".join(lines), {**sent, "bytes": loading.size, "revisions": revisions})
