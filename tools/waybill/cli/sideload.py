"""`waybill sideload`: from a bundle, or straight from a source, into a store."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from waybill.bundle.cargo import BundleCargo, Cargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Check, Decision, Loading
from waybill.bundle.tray import Tray
from waybill.cli.arguments import (
    Commands,
    add_reason,
    add_sending,
    add_store,
    add_trust,
    open_store,
    paced,
    policy_of,
)
from waybill.cli.in_cluster import add_in_cluster, job_of, refuse_in_cluster
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, human
from waybill.cli.sources import FLAGS, add_source, add_what, cargo_of, is_bundle, roots_of
from waybill.deliver import import_job
from waybill.digest import is_commit
from waybill.errors import BadValue
from waybill.store.layout import Ref


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "sideload",
        help="load a bundle, or straight from a source, into a store",
        description="Load a bundle into a store, or a model straight from where it lies.",
    )
    add_what(parser)
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
    add_source(parser)
    add_key(parser)
    add_trust(parser)
    add_in_cluster(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent")
    add_reason(parser)
    parser.set_defaults(run=_sideload)


def _sideload(args: argparse.Namespace, console: Console) -> Report:
    refs = _refs(args)
    if args.in_cluster:
        return _inside(args, console)
    refuse_in_cluster(args)
    cargo = _cargo(args, console)
    decision = Decision(refs, args.by, args.why or f"sideloaded from {_origin(args)}")
    store, policy = open_store(args), policy_of(args)
    check = Check.REPAIR if args.repair else Check(args.verify)
    with console.progress("look", 0) as advance:
        loading = Loading.plan(cargo, store, decision, check, advance, policy)
    sent: dict[str, Any] = {
        "store": store.url,
        "blobs": len({d for one in cargo.revisions for d in one.manifest.blobs}),
        "missing": len(loading.missing),
        "damaged": len(loading.damaged) + len(loading.rotten),
        "bytes": loading.size,
    }
    if args.dry_run:
        return Report(f"would send {_amount(sent, 'are')}", {**sent, "dryRun": True})
    with console.progress("sideload", loading.size) as advance:
        loaded = loading.run(paced(args, advance))
    revisions = [
        {"repo": one.repo, "commit": one.commit, "refs": list(one.moved), "notes": list(one.notes)}
        for one in loaded
    ]
    return _loaded({**sent, "revisions": revisions})


def _inside(args: argparse.Namespace, console: Console) -> Report:
    job, cluster = job_of(args)
    if args.dry_run:
        return Report(yaml.safe_dump(job, sort_keys=False, width=1000).rstrip(), {"job": job})
    name = job["metadata"]["name"]
    done = import_job.carry_out(job, cluster, console.note)
    if not done:
        text = f"{name} is done, but its log is gone: waybill status says what is there"
        return Report(text, {"job": name})
    return replace(_loaded(done), data={**done, "job": name})


def _loaded(data: Mapping[str, Any]) -> Report:
    """What is in the store now; `data` may come from a Job."""
    lines = []
    for one in data["revisions"]:
        name = f"{one['repo']} at {one['commit']}"
        lines.append(f"{name} is in {data['store']}: sent {_amount(data, 'were')}")
    lines += [f"note: {note}" for one in data["revisions"] for note in one["notes"]]
    return Report("\n".join(lines), dict(data))


def _amount(data: Mapping[str, Any], verb: str) -> str:
    missing, total, damaged = (data[key] for key in ("missing", "blobs", "damaged"))
    what = f"{missing} of {total} blobs ({human(data['bytes'])}), {total - missing} {verb} there"
    return f"{what}; damaged: {damaged}" if damaged else what


def _origin(args: argparse.Namespace) -> str:
    return "a source" if _is_source(args) else "a bundle"


def _is_source(args: argparse.Namespace) -> bool:
    """Several directories are media; so is one, unless it is said what to make of it."""
    if args.manifest or any("://" in one for one in args.what):
        return True
    return len(args.what) == 1 and bool(args.repo) and not is_bundle(Path(args.what[0]))


def _cargo(args: argparse.Namespace, console: Console) -> Cargo:
    """Raises BadValue for arguments of the other kind, and what either cannot be opened for."""
    if not (args.what or args.manifest):
        raise BadValue(what="source", value="", why="name one, or the media of a bundle")
    if not _is_source(args):
        said = ("repo", "include", "exclude", "allow_pickle", "key", "certificate", *FLAGS)
        _refuse(args, said, "a bundle")
        tray = Tray(console.note) if args.wait else None
        roots = roots_of(args)
        bundle = Bundle.open([roots.check(Path(one)) for one in args.what], tray)
        if not bundle.index.revisions:
            why = "it has no model, but images: waybill images push, or load"
            raise BadValue(what="bundle", value=" ".join(args.what), why=why)
        return BundleCargo(bundle)
    _refuse(args, ("wait",), "a source")
    return cargo_of(args, console, signer_of(args, console))


def _refs(args: argparse.Namespace) -> tuple[Ref, ...]:
    for flag in ("branch", "tag"):
        if is_commit(name := getattr(args, flag) or ""):
            # Nobody would get it: whoever asks for that name is given the commit.
            raise BadValue(what=f"--{flag}", value=name, why="40 hex digits name a commit")
    return Ref("heads", args.branch), *([Ref("tags", args.tag)] if args.tag else [])


def _refuse(args: argparse.Namespace, flags: Sequence[str], kind: str) -> None:
    for flag in flags:
        if value := getattr(args, flag):
            name = {"repo": "as"}.get(flag, flag).replace("_", "-")
            shown = str(value) if isinstance(value, Path) else value
            raise BadValue(what=f"--{name}", value=shown, why=f"it is not for {kind}")
