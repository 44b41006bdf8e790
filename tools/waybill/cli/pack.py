"""`waybill pack`: from a source into a bundle."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from waybill.bundle.base import Base
from waybill.bundle.cut import PART_SIZE
from waybill.bundle.format import INDEX
from waybill.bundle.pack import Packing
from waybill.cli.arguments import Commands, add_side, of_side, open_store, project, size
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, counted, human, table
from waybill.cli.sources import FORMS, Wanted, add_source, source_of
from waybill.deliver.environments import Environments
from waybill.errors import BadValue
from waybill.release import replay
from waybill.release.plan import Plan
from waybill.sign.keys import Signer
from waybill.source.select import Choice
from waybill.store.layout import RepoId


def register(commands: Commands) -> None:
    parser = commands.add_parser("pack", help="pack a model into a bundle")
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=FORMS)
    parser.add_argument(
        "--out",
        action="append",
        type=Path,
        metavar="DIR",
        help="where the parts go; give it again for further media, used as those before are full",
    )
    add_source(parser)
    parser.add_argument(
        "--part-size",
        type=size,
        default=PART_SIZE,
        metavar="SIZE",
        help="largest part, as 4GB or 650MB (default: 4GB, which FAT32 can hold)",
    )
    parser.add_argument(
        "--base",
        action="append",
        metavar="BASE",
        help="leave out what is there already: a bundle's directory, an inventory, or a store",
    )
    add_side(parser, "base")
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="PLAN",
        help="bring this promotion along, which was applied here: the other side can replay it; "
        "it is signed by --key. Without SOURCE, what it moves is packed, from where it moved it to",
    )
    parser.add_argument(
        "--model", metavar="MODEL", help="this model of the plan (default: its only one)"
    )
    add_key(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be packed")
    parser.set_defaults(run=_pack)


def _pack(args: argparse.Namespace, console: Console) -> Report:
    if not (args.out or args.dry_run):
        raise BadValue(what="--out", value="", why="a bundle needs a directory to go to")
    signer = signer_of(args, console)
    plan = Plan.load(args.plan) if args.plan else None
    wanted = _promoted(args, plan) if plan and not _named(args) else _chosen(args)
    base = _base(args)
    with console.progress("compare", 0) as advance:
        packing = Packing.plan(
            wanted.source,
            wanted.repo,
            part_size=args.part_size,
            allow_pickle=wanted.allow_pickle,
            choice=wanted.choice,
            base=base,
            advance=advance,
        )
    if plan:
        _add_promotion(args, packing, plan, signer)
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
        packing.check(args.out or (), signer)
        return _dry(packing, data, left_out)
    with console.progress("pack", packing.size) as advance:
        packed = packing.run(args.out, advance, signer)
    if packed.reused:
        console.note("parts of an earlier run were not read again: waybill verify reads them")
    revision = packed.index.revisions[0]
    reused = f", {packed.reused} of them from an earlier run" if packed.reused else ""
    text = (
        f"{revision.repo} at {revision.manifest.commit}: {counted(files, 'file')}, "
        f"{human(packing.size)} in {counted(parts, 'part')}{reused}{left_out}"
        + (f"; signed by the key {signer.key_id}" if signer else "")
    )
    data["keyId"] = signer.key_id if signer else None
    return Report(text, {**data, "commit": revision.manifest.commit, "reused": packed.reused})


def _named(args: argparse.Namespace) -> bool:
    """Whether anything says where the model comes from."""
    return bool(args.source or args.manifest)


def _chosen(args: argparse.Namespace) -> Wanted:
    if args.model:
        why = "it is one of a plan's models, where no SOURCE is named: --plan PLAN"
        raise BadValue(what="--model", value=args.model, why=why)
    return source_of(args)


def _promoted(args: argparse.Namespace, plan: Plan) -> Wanted:
    """A revision of the plan, with all files, as its target's store has it.

    Raises BadValue, UnknownEnvironment.
    """
    if args.repo or args.include or args.exclude or args.allow_pickle:
        why = (
            "what a plan has moved goes whole, and under its own name: leave out --as, --include, "
        )
        raise BadValue(what="--plan", value=str(args.plan), why=f"{why}--exclude, --allow-pickle")
    # It needs a store's client, which other sources do without.
    from waybill.source.waybill_store import StoreSource

    names = [args.model] if args.model else list(plan.models)
    if len(names) > 1 or names[0] not in plan.models:
        why = f"the plan moves {', '.join(plan.models)}: name one of them"
        raise BadValue(what="--model", value=args.model or "", why=why)
    facts = plan.models[names[0]]
    store = Environments.load(project(args))[plan.target].connect()
    source = StoreSource(store, RepoId.parse(facts["repo"]), facts["commit"])
    return Wanted(source, None, Choice(include=("*",)), allow_pickle=True)


def _add_promotion(
    args: argparse.Namespace, packing: Packing, plan: Plan, signer: Signer | None
) -> None:
    """Raises BadValue without a key or for another repo, NotApplied."""
    if signer is None:
        raise BadValue(what="--plan", value=str(args.plan), why="it is signed, so --key is needed")
    if str(packing.repo) not in {facts["repo"] for facts in plan.models.values()}:
        why = f"it does not move {packing.repo}"
        raise BadValue(what="--plan", value=str(args.plan), why=why)
    packing.moved = frozenset(facts["digest"] for facts in plan.models.values())
    said = tuple(replay.told(Environments.load(project(args)), plan, signer))
    packing.origin = replace(packing.origin, signed=(*packing.origin.signed, *said))


def _dry(packing: Packing, data: dict[str, Any], left_out: str) -> Report:
    """Each file with its size, and on how many parts, or media of that size, they would come."""
    rows = [
        (file.path, human(file.size), "there already" if file.path in packing.there else "")
        for file in packing.selection.kept
    ]
    text = (
        f"{packing.repo}: {counted(data['files'], 'file')} in {counted(data['parts'], 'part')} "
        f"of at most {human(packing.part_size)}, {human(packing.size)}; "
        f"{counted(len(packing.selection.dropped), 'file')} dropped{left_out}"
    )
    packed = [
        {"path": file.path, "size": file.size, "there": file.path in packing.there}
        for file in packing.selection.kept
    ]
    data = {**data, "partSize": packing.part_size, "packed": packed, "dryRun": True}
    return Report(f"{table(('file', 'size', ''), rows)}\n\n{text}", data)


def _base(args: argparse.Namespace) -> Base | None:
    """Raises BadFile, NotABundle, NotAStore, and BadValue for several."""
    (base, *more) = args.base or [""]
    if more:
        why = "one at a time; of bundles that were packed with --base the last is enough"
        raise BadValue(what="--base", value=" ".join(args.base), why=why)
    path = Path(base)
    is_bundle = (path / INDEX).is_file()
    here = not base or is_bundle or path.is_file()
    if here and (reach := args.base_endpoint or args.base_profile or args.base_ca_bundle):
        why = f"{reach} is for one that is a store, and this is none"
        raise BadValue(what="--base", value=base, why=why)
    if not base:
        return None
    if is_bundle:
        return Base.of_bundle([path])
    if here:
        return Base.load(path)
    return Base.of_store(open_store(of_side(args, "base", base), side="base-"))
