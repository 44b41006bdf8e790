"""Commands about a store: `store init` and `pull`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from waybill import digest as digests
from waybill.bundle.base import Base
from waybill.bundle.journal import write_whole
from waybill.cli.arguments import Commands, add_store, open_store
from waybill.cli.output import Console, Report, counted, human
from waybill.digest import Digest, is_commit
from waybill.errors import BadValue, OtherRevision
from waybill.manifest import File, Manifest
from waybill.source.base import SourceFile
from waybill.source.pull import PATIENCE, Expected, Manner, pull_from_hub, pulled_before
from waybill.store.base import Advance
from waybill.store.layout import RepoId
from waybill.store.pull import Pulled, pull

EACH = 30.0
"""Seconds between two lines of progress where no bar is shown."""


def register(commands: Commands) -> None:
    store = commands.add_parser("store", help="make a bucket or directory a store")
    actions = store.add_subparsers(metavar="ACTION", required=True, dest="action")
    init = actions.add_parser("init", help="probe the server and write store.json, once")
    add_store(init, "store", "the store to make")
    init.set_defaults(run=_init)

    parser = commands.add_parser("inventory", help="list what a store has, for `pack --base`")
    add_store(parser, "store", "the store to list")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where to write")
    parser.set_defaults(run=_inventory)

    parser = commands.add_parser("pull", help="download a revision, verified, into a directory")
    parser.add_argument("revision", metavar="OWNER/NAME@REVISION", help="branch, tag or commit")
    add_store(parser, "--from", "where to read", required=False)
    parser.add_argument("--hub", metavar="URL", help="read from a model hub instead of a store")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument("--digest", help="the manifest's digest, as pinned: anything else fails")
    parser.add_argument(
        "--check", action="store_true", help="read again what an earlier pull completed"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="how long a hub may give nothing before it is given up (default: 300)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be read")
    parser.set_defaults(run=_pull)


def _init(args: argparse.Namespace, console: Console) -> Report:
    store = open_store(args)
    console.note(f"looking at {store.url} ...")
    facts = store.init()
    conditional = "with" if facts["conditionalWrites"] else "WITHOUT"
    text = f"{store.url} is a store, {conditional} conditional writes"
    return Report(text, {"url": store.url, **facts})


def _inventory(args: argparse.Namespace, console: Console) -> Report:
    store = open_store(args)
    console.note(f"looking at {store.url} ...")
    if not args.out.parent.is_dir() or (args.out.exists() and not args.out.is_file()):
        why = "it is no file, nor could it become one"
        raise BadValue(what="--out", value=str(args.out), why=why)
    base = Base.of_store(store)
    write_whole(args.out.resolve(), base.data)
    files, size = len(base.sizes), sum(base.sizes.values())
    text = f"{counted(files, 'file')} of {store.url} ({human(size)}) are listed in {args.out}"
    return Report(text, {"url": store.url, "files": files, "bytes": size, "out": str(args.out)})


def split_revision(text: str) -> tuple[RepoId, str]:
    """`owner/name@revision`; without one, main."""
    repo, _, revision = text.partition("@")
    return RepoId.parse(repo), revision or "main"


def _pull(args: argparse.Namespace, console: Console) -> Report:
    if bool(args.hub) == bool(args.store):
        why = "say where to read: --from STORE or --hub URL, one of them"
        raise BadValue(what="source", value=args.hub or args.store or "", why=why)
    digest = digests.parse(args.digest) if args.digest else None
    repo, revision = split_revision(args.revision)
    if args.hub:
        return _pull_from_hub(args, console, repo, revision, digest)
    return _pull_from_store(args, console, repo, revision, digest)


def _pull_from_store(
    args: argparse.Namespace, console: Console, repo: RepoId, revision: str, digest: Digest | None
) -> Report:
    store = open_store(args)
    commit = store.resolve(repo, revision)
    manifest = store.manifest(repo, commit if is_commit(commit) else revision)
    if digest and manifest.descriptor.digest != digest:
        found = manifest.descriptor.digest
        raise OtherRevision(source=store.url, expected=digest, found=found)
    if args.dry_run:
        return _would_pull(repo, commit, manifest.files)
    with console.progress("pull", manifest.size) as advance:
        pulled = pull(store, manifest, args.out, advance)
    return _pulled(args, repo, manifest, pulled)


def _pull_from_hub(
    args: argparse.Namespace, console: Console, repo: RepoId, revision: str, digest: Digest | None
) -> Report:
    known = None if args.check else pulled_before(args.out, Expected(revision, digest))
    if known:
        return _pulled(args, repo, known, Pulled(0, len(known.files), 0))
    # Half a second to import: only for those who need it.
    from waybill.source.huggingface import HuggingFaceSource

    source = HuggingFaceSource(str(repo), revision, endpoint=args.hub)
    if args.dry_run:
        return _would_pull(repo, source.commit, source.files())
    with console.progress("pull", 0) as advance:
        manner = Manner(args.patience, Milestones(advance, console), console.note)
        manifest, pulled = pull_from_hub(source, args.out, digest, manner)
    return _pulled(args, repo, manifest, pulled)


class Milestones:
    """An Advance that also writes a line now and then, for logs that show no bar."""

    def __init__(self, advance: Advance, console: Console) -> None:
        self._advance, self._console = advance, console
        self._done, self._next = 0, time.monotonic() + EACH

    def __call__(self, count: int) -> None:
        self._advance(count)
        self._done += count
        if time.monotonic() >= self._next:
            self._next += EACH
            self._console.note(f"{human(self._done)} so far")


def _would_pull(repo: RepoId, commit: str, files: Sequence[File | SourceFile]) -> Report:
    size = sum(file.size for file in files)
    text = f"{repo} at {commit}: {counted(len(files), 'file')}, {human(size)}"
    data = {"repo": str(repo), "commit": commit, "files": len(files), "bytes": size}
    return Report(text, {**data, "dryRun": True})


def _pulled(args: argparse.Namespace, repo: RepoId, manifest: Manifest, pulled: Pulled) -> Report:
    text = (
        f"{repo} at {manifest.commit} is in {args.out}: {counted(pulled.fetched, 'file')} fetched "
        f"({human(pulled.bytes)}), {pulled.kept} were there"
    )
    data = {"repo": str(repo), "commit": manifest.commit, "files": len(manifest.files)}
    return Report(text, {**data, "fetched": pulled.fetched, "kept": pulled.kept})
