"""Commands about a store: `store init` and `pull`."""

from __future__ import annotations

import argparse
from pathlib import Path

from waybill.cli.arguments import Commands, add_store, open_store
from waybill.cli.output import Console, Report, counted, human
from waybill.digest import is_commit
from waybill.store.layout import RepoId
from waybill.store.pull import pull


def register(commands: Commands) -> None:
    store = commands.add_parser("store", help="make a bucket or directory a store")
    actions = store.add_subparsers(metavar="ACTION", required=True, dest="action")
    init = actions.add_parser("init", help="probe the server and write store.json, once")
    add_store(init, "store", "the store to make")
    init.set_defaults(run=_init)

    parser = commands.add_parser("pull", help="download a revision, verified, into a directory")
    parser.add_argument("revision", metavar="OWNER/NAME@REVISION", help="branch, tag or commit")
    add_store(parser, "--from", "where to read")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument("--dry-run", action="store_true", help="say what would be read")
    parser.set_defaults(run=_pull)


def _init(args: argparse.Namespace, console: Console) -> Report:
    store = open_store(args)
    console.note(f"looking at {store.url} ...")
    facts = store.init()
    conditional = "with" if facts["conditionalWrites"] else "WITHOUT"
    text = f"{store.url} is a store, {conditional} conditional writes"
    return Report(text, {"url": store.url, **facts})


def split_revision(text: str) -> tuple[RepoId, str]:
    """`owner/name@revision`; without one, main."""
    repo, _, revision = text.partition("@")
    return RepoId.parse(repo), revision or "main"


def _pull(args: argparse.Namespace, console: Console) -> Report:
    repo, revision = split_revision(args.revision)
    store = open_store(args)
    commit = store.resolve(repo, revision)
    manifest = store.manifest(repo, commit if is_commit(commit) else revision)
    data = {"repo": str(repo), "commit": commit, "files": len(manifest.files)}
    if args.dry_run:
        text = f"{repo} at {commit}: {counted(len(manifest.files), 'file')}, {human(manifest.size)}"
        return Report(text, {**data, "bytes": manifest.size, "dryRun": True})
    with console.progress("pull", manifest.size) as advance:
        pulled = pull(store, manifest, args.out, advance)
    text = (
        f"{repo} at {commit} is in {args.out}: {counted(pulled.fetched, 'file')} fetched "
        f"({human(pulled.bytes)}), {pulled.kept} were there"
    )
    return Report(text, {**data, "fetched": pulled.fetched, "kept": pulled.kept})
