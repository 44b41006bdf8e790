"""Commands about bundles: `pack`, `inspect`, `verify` and `sideload`."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from waybill.bundle.base import Base
from waybill.bundle.cut import PART_SIZE
from waybill.bundle.format import INDEX, Revision, part_name
from waybill.bundle.media import Bundle, spans
from waybill.bundle.pack import Packing
from waybill.bundle.sideload import Check, Decision, Loading
from waybill.bundle.verify import verify
from waybill.cli.arguments import Commands, add_reason, add_store, open_store
from waybill.cli.output import Console, Report, counted, human, table
from waybill.errors import BadValue, PartMissing
from waybill.source.connect import open_source
from waybill.source.select import Choice
from waybill.store.audit import audit, inventory
from waybill.store.layout import Ref, RepoId

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*(?:([kMGT])(i?))?B?")
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


def register(commands: Commands) -> None:
    _register_pack(commands)
    parser = commands.add_parser("inspect", help="show what a bundle holds")
    _add_folders(parser)
    parser.set_defaults(run=_inspect)

    parser = commands.add_parser("verify", help="check every byte of a bundle, or of a store")
    _add_folders(parser, "*")
    add_store(parser, "--store", "verify this store instead of a bundle", required=False)
    parser.set_defaults(run=_verify)

    parser = commands.add_parser("sideload", help="load a bundle into a store")
    _add_folders(parser)
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
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent")
    add_reason(parser)
    parser.set_defaults(run=_sideload)


def _register_pack(commands: Commands) -> None:
    parser = commands.add_parser("pack", help="pack a model into a bundle")
    parser.add_argument("source", metavar="SOURCE", help="hf://owner/name@revision or a directory")
    parser.add_argument(
        "--out",
        action="append",
        type=Path,
        metavar="DIR",
        help="where the parts go; give it again for further media, used as those before are full",
    )
    parser.add_argument("--as", dest="repo", metavar="OWNER/NAME", help="the repo it becomes")
    parser.add_argument(
        "--part-size",
        type=size,
        default=PART_SIZE,
        metavar="SIZE",
        help="largest part, as 4GB or 650MB (default: 4GB, which FAT32 can hold)",
    )
    parser.add_argument("--hf-endpoint", help="Hugging Face endpoint (default: HF_ENDPOINT)")
    parser.add_argument("--allow-pickle", action="store_true", help="pack pickled weights")
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="pack files like this alone, as 'onnx/*', also what is dropped otherwise; repeatable",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out files like this, as '*.gguf' or 'assets/'; repeatable",
    )
    parser.add_argument(
        "--base",
        metavar="BASE",
        help="leave out what is there already: a bundle's directory, an inventory, or a store",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be packed")
    parser.set_defaults(run=_pack)


def _add_folders(parser: argparse.ArgumentParser, count: str = "+") -> None:
    parser.add_argument(
        "folders", nargs=count, type=Path, metavar="DIR", help="media of the bundle"
    )


def size(text: str) -> int:
    """Bytes from `4GB`, `650MB`, `4GiB` or a plain number."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4GB")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit or ""])


def _pack(args: argparse.Namespace, console: Console) -> Report:
    if not (args.out or args.dry_run):
        raise BadValue(what="--out", value="", why="a bundle needs a directory to go to")
    source = open_source(args.source, endpoint=args.hf_endpoint)
    repo = RepoId.parse(args.repo) if args.repo else None
    base = _base(args) if args.base else None
    with console.progress("compare", 0) as advance:
        packing = Packing.plan(
            source,
            repo,
            part_size=args.part_size,
            allow_pickle=args.allow_pickle,
            choice=Choice(args.include, args.exclude),
            base=base,
            advance=advance,
        )
    for path, why in packing.selection.dropped.items():
        console.note(f"dropped {path}: {why}")
    files, parts = len(packing.selection.kept), len(packing.parts)
    data = {
        "repo": str(packing.repo),
        "files": files,
        "dropped": packing.selection.dropped,
        "bytes": packing.size,
        "parts": parts,
        "base": {"of": base.name, "files": len(packing.there)} if base else None,
    }
    left_out = f"; {len(packing.there)} are with {base.name} already" if base else ""
    if args.dry_run:
        text = (
            f"{packing.repo}: {counted(files, 'file')} in {counted(parts, 'part')}, "
            f"{human(packing.size)}; {counted(len(packing.selection.dropped), 'file')} dropped"
            f"{left_out}"
        )
        return Report(text, {**data, "dryRun": True})
    with console.progress("pack", packing.size) as advance:
        packed = packing.run(args.out, advance)
    revision = packed.index.revisions[0]
    reused = f", {packed.reused} of them from an earlier run" if packed.reused else ""
    text = (
        f"{revision.repo} at {revision.manifest.commit}: {counted(files, 'file')}, "
        f"{human(packing.size)} in {counted(parts, 'part')}{reused}{left_out}"
    )
    return Report(text, {**data, "commit": revision.manifest.commit, "reused": packed.reused})


def _base(args: argparse.Namespace) -> Base:
    """Raises BadFile, NotABundle, NotAStore."""
    path = Path(args.base)
    if (path / INDEX).is_file():
        return Base.of_bundle([path])
    if path.is_file():
        return Base.load(path)
    reach = dict.fromkeys(("endpoint", "profile", "ca_bundle"))
    place = argparse.Namespace(store=args.base, project=args.project, single_writer=False, **reach)
    return Base.of_store(open_store(place))


def _inspect(args: argparse.Namespace, _: Console) -> Report:
    bundle = Bundle.open(args.folders)
    index = bundle.index
    lines = []
    for revision in index.revisions:
        lines.append(f"{revision.repo} at {revision.manifest.commit}")
        facts = origin(revision)
        dropped = facts.pop("dropped", {})
        lines += [f"{name}: {value}" for name, value in facts.items() if value]
        lines += [f"dropped {path}: {why}" for path, why in dropped.items()]
        files = [(one.path, human(one.size), one.digest) for one in revision.manifest.files]
        lines += ["", table(("file", "size", "digest"), files), ""]
    if index.base:
        count = counted(len(index.base.blobs), "file")
        lines += [f"left out: {count} ({human(index.base.size)}), with {index.base.name}", ""]
    parts = [
        (part.name, human(part.size), str(bundle.path(part) or "missing")) for part in index.parts
    ]
    lines.append(table(("part", "size", "where"), parts))
    return Report("\n".join(lines), _described(bundle))


def origin(revision: Revision) -> dict[str, Any]:
    """What the provenance statement says: source, repo, commit, license, dropped."""
    for statement in revision.statements:
        match json.loads(statement):
            case {"predicate": {"buildDefinition": {"externalParameters": dict(facts)}}}:
                return facts
    return {}


def _described(bundle: Bundle) -> dict[str, object]:
    base = bundle.index.base
    return {
        "revisions": [
            {
                "repo": str(one.repo),
                "commit": one.manifest.commit,
                "digest": one.manifest.descriptor.digest,
                "origin": origin(one),
                "files": [
                    {"path": f.path, "size": f.size, "digest": f.digest} for f in one.manifest.files
                ],
            }
            for one in bundle.index.revisions
        ],
        "parts": [
            {"name": part.name, "size": part.size, "present": bundle.path(part) is not None}
            for part in bundle.index.parts
        ],
        "base": {"of": base.name, "files": len(base.blobs), "bytes": base.size} if base else None,
    }


def _verify(args: argparse.Namespace, console: Console) -> Report:
    if bool(args.store) == bool(args.folders):
        raise BadValue(what="verify", value="", why="it takes either directories or --store")
    return _verify_store(args, console) if args.store else _verify_bundle(args, console)


def _verify_store(args: argparse.Namespace, console: Console) -> Report:
    store = open_store(args)
    found = inventory(store)
    with console.progress("verify", found.size) as advance:
        result = audit(store, found, advance)
    lines = [f"{what}: {error}" for what, error in result.wrong.items()]
    lines.append(
        f"{counted(result.revisions, 'revision')}, {counted(result.blobs, 'blob')} "
        f"({human(result.bytes)}), {len(result.wrong)} wrong"
    )
    data = {
        "revisions": result.revisions,
        "blobs": result.blobs,
        "wrong": {what: str(error) for what, error in result.wrong.items()},
    }
    return Report("\n".join(lines), data, exit_code=4 if result.wrong else 0)


def _verify_bundle(args: argparse.Namespace, console: Console) -> Report:
    bundle = Bundle.open(args.folders)
    present = [part for part in bundle.index.parts if bundle.path(part)]
    with console.progress("verify", sum(part.size for part in present)) as advance:
        findings = verify(bundle, advance)
    lines = [f"{name}: {error}" for name, error in findings.wrong.items()]
    if findings.missing:
        lines.append(f"not on these media: {spans(findings.missing)}")
    good, total = findings.good, len(bundle.index.parts)
    lines.append(f"{good} of {counted(total, 'part')} are good ({human(findings.bytes)})")
    data = {
        "parts": total,
        "good": good,
        "missing": [part_name(number) for number in findings.missing],
        "wrong": {name: str(error) for name, error in findings.wrong.items()},
    }
    code = 4 if findings.wrong else PartMissing.exit_code if findings.missing else 0
    return Report("\n".join(lines), data, exit_code=code)


def _sideload(args: argparse.Namespace, console: Console) -> Report:
    bundle = Bundle.open(args.folders)
    refs = [Ref("heads", args.branch), *([Ref("tags", args.tag)] if args.tag else [])]
    decision = Decision(tuple(refs), args.by, args.why or "sideloaded from a bundle")
    store = open_store(args)
    check = Check.REPAIR if args.repair else Check(args.verify)
    with console.progress("look", 0) as advance:
        loading = Loading.plan(bundle, store, decision, check, advance)
    total = len({d for one in bundle.index.revisions for d in one.manifest.blobs})
    missing, damaged = len(loading.missing), len(loading.damaged)
    sent = {"store": store.url, "blobs": total, "missing": missing, "damaged": damaged}
    what = f"{missing} of {total} blobs ({human(loading.size)}), {total - missing} are there"
    if damaged:
        what += f"; {damaged} of these {'were' if not args.dry_run else 'are'} damaged"
    if args.dry_run:
        return Report(f"would send {what}", {**sent, "bytes": loading.size, "dryRun": True})
    with console.progress("sideload", loading.size) as advance:
        loaded = loading.run(advance)
    lines = [f"{one.repo} at {one.commit} is in {store.url}: sent {what}" for one in loaded]
    lines += [f"note: {note}" for one in loaded for note in one.notes]
    revisions = [
        {"repo": one.repo, "commit": one.commit, "refs": list(one.moved), "notes": list(one.notes)}
        for one in loaded
    ]
    return Report("\n".join(lines), {**sent, "bytes": loading.size, "revisions": revisions})
