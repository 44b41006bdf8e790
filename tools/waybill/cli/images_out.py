"""`waybill images push|load|chart|bom|verify`: out of a bundle, to where they are used."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill import digest as digests
from waybill.cli.arguments import Commands, add_folders, add_rate, paced, project
from waybill.cli.images_arguments import (
    MIRROR,
    OF_A_RELEASE,
    add_list,
    add_policy,
    add_registry,
    add_runtime,
    listed_of,
    policy_of,
    reach_of,
    refuse,
)
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, about, counted, human, printable, table
from waybill.deliver import helm
from waybill.deliver.images.choices import command
from waybill.errors import BadValue
from waybill.source.reference import Place

if TYPE_CHECKING:
    from waybill.bundle.media import Bundle
    from waybill.bundle.verify import Findings
    from waybill.deliver.images.blobs import Blobs
    from waybill.deliver.images.chart import Restoring
    from waybill.deliver.images.verify import Finding


def register(actions: Commands) -> None:
    """Add the parsers of what reads bundles."""
    push = actions.add_parser("push", help="send a bundle's images to a registry: what it lacks")
    add_folders(push)
    add_registry(push, "--to", MIRROR, required=True)
    _add_base(push)
    add_policy(push)
    add_rate(push)
    push.add_argument("--dry-run", action="store_true", help="say what would be sent")
    push.set_defaults(run=_push)

    load = actions.add_parser("load", help="give a bundle's images to a runtime of this machine")
    add_folders(load)
    add_runtime(load)
    load.add_argument(
        "--as",
        dest="place",
        metavar="REGISTRY[/PREFIX]",
        help="under the names that global.imageRegistry makes of them (default: their own)",
    )
    _add_base(load)
    add_policy(load)
    load.set_defaults(run=_load)

    chart = actions.add_parser("chart", help="put a bundle's chart where a project has it")
    add_folders(chart)
    chart.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"where its folder goes (default: {Path(helm.CHART).parent} in the project)",
    )
    chart.add_argument("--replace", action="store_true", help="also where another version is")
    add_policy(chart)
    chart.add_argument("--dry-run", action="store_true", help="check it, and say what would change")
    chart.set_defaults(run=_chart)

    bom = actions.add_parser("bom", help="the list of all that is in a bundle, with licenses")
    add_folders(bom)
    bom.add_argument("--out", type=Path, metavar="FILE", help="write it there (CycloneDX)")
    bom.add_argument(
        "--packages",
        action="store_true",
        help="read the images' layers, too, and add the packages of Debian, Alpine, RPM and Python",
    )
    add_policy(bom)
    add_key(bom)
    bom.set_defaults(run=_bom)

    verify = actions.add_parser(
        "verify",
        help="check a bundle's images, and that a registry has them, or what a release runs",
    )
    add_folders(verify, "*")
    add_registry(verify, "--registry", MIRROR)
    add_list(verify)
    add_policy(verify)
    verify.set_defaults(run=_verify)


def _add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="of a bundle of changes: media of an earlier one that has what it leaves out; "
        "repeatable",
    )


def _bundle(args: argparse.Namespace, console: Console, beside: str = "") -> Bundle:
    """Opened, with images, and let in by the policy, as are the files whose paths begin so."""
    from waybill.bundle.media import Bundle
    from waybill.deliver.images.parts import require_trust, unasked

    bundle, policy = Bundle.open(args.folders), policy_of(args)
    for path in unasked(bundle, policy, beside):
        console.note(f"warning: {args.trust} asks for nobody's signature of {path}")
    return require_trust(bundle, policy, beside)


def _blobs(args: argparse.Namespace, console: Console) -> Blobs:
    """Of the bundle, and of those that it builds on."""
    from waybill.deliver.images.blobs import Blobs

    return Blobs.of(_bundle(args, console), args.base)


def _push(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.push import Pushing

    place = Place.parse(args.place)
    pushing = Pushing.plan(_blobs(args, console), place, reach_of(args))
    data: dict[str, Any] = {
        "registry": str(place),
        "images": [
            {"name": str(one.name), "digest": one.digest, "new": one in pushing.new}
            for one in pushing.targets
        ],
        "blobs": len(pushing.missing),
        "bytes": pushing.size,
        "dryRun": args.dry_run,
    }
    if not args.dry_run:
        with console.progress("push", pushing.size) as advance:
            pushing.run(paced(args, advance))
    verb = "would send" if args.dry_run else "sent"
    rest = len(pushing.targets) - len(pushing.new)
    text = (
        f"{place}: {verb} {counted(len(pushing.new), 'image')}, "
        f"{counted(len(pushing.missing), 'blob')} ({human(pushing.size)}); "
        f"{counted(rest, 'image')} there already"
    )
    names = [f"{one.name}@{one.digest}" for one in pushing.targets]
    return Report("\n".join([*names, text]), data)


def _load(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.load import archive_of, pipe

    archive = archive_of(_blobs(args, console), Place.parse(args.place) if args.place else None)
    program = command(args.runtime, args.address)
    with console.progress("load", sum(blob.size for blob in archive.blobs)) as advance:
        said = pipe(program, archive.chunks(), advance)
    names = [one.name for one in archive.images]
    text = f"{program[0]} has {counted(len(names), 'image')}"
    return Report("\n".join([*names, text]), {"runtime": program[0], "images": names, "said": said})


def _chart(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.chart import Restoring

    out = args.out or (project(args) / helm.CHART).parent
    charts = Restoring.plan(_bundle(args, console, "charts/"), out, replace=args.replace)
    if not args.dry_run:
        for one in charts:
            one.run()
    told = [
        {
            "name": one.chart.name,
            "version": one.chart.version,
            "digest": one.digest,
            "path": str(one.path),
            "new": not one.there,
            "replaced": one.found and not one.there,
        }
        for one in charts
    ]
    lines = [_said_of_chart(one, dry=args.dry_run) for one in charts]
    return Report("\n".join(lines), {"charts": told, "dryRun": args.dry_run})


def _said_of_chart(one: Restoring, *, dry: bool) -> str:
    verb = "is there already" if one.there else "would be written" if dry else "is written"
    other = f", in the place of another ({one.differs})" if one.differs else ""
    return f"{one.path}: {one.chart.name} {one.chart.version} {verb}{other}; {one.digest}"


def _bom(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.bom import (
        NAME,
        bom_of,
        rows,
        unread,
        with_packages,
        write_list,
    )
    from waybill.deliver.images.packages import layers_size

    if not args.out:
        refuse(args, {"--key": "key"}, "what is written is signed: give --out FILE, too")
    signer = signer_of(args, console)
    bundle = _bundle(args, console, NAME)
    data = bom_of(bundle)
    if args.packages:
        with console.progress("read", layers_size(bundle)) as advance:
            data = with_packages(data, bundle, advance)
        for line in unread(data):
            console.note(f"warning: {printable(line)}")
    text = table(("what", "name", "licenses", "digest"), rows(data))
    signature = None
    if args.out:
        signature = write_list(args.out, data, signer)
        text = f"{args.out}: {counted(len(rows(data)), 'component')}; {digests.of(data)}"
        text += f"; {signature} is its signature by the key {signer.key_id}" if signer else ""
    told = {
        "digest": digests.of(data),
        "file": str(args.out) if args.out else None,
        "signature": str(signature) if signature else None,
    }
    return Report(text, {**told, "bom": json.loads(data)})


def _verify(args: argparse.Namespace, console: Console) -> Report:
    if not args.folders:
        return _verify_list(args)
    from waybill.bundle.verify import to_read, verify
    from waybill.deliver.images.parts import stack_of
    from waybill.deliver.images.push import targets
    from waybill.deliver.images.verify import whole

    if not args.environment:
        refuse(args, OF_A_RELEASE, "a directory is asked for its own images; add --env")
    bundle = _bundle(args, console)
    stack = stack_of(bundle)
    there: Sequence[Finding] = ()
    if args.place:
        place = Place.parse(args.place)
        there = whole(targets(stack, place), place, reach_of(args))
    names = {one.name for one in stack.images}
    wanted = [one.tagged for one in listed_of(args)] if args.environment else []
    unlisted = [f"{name}: not in the bundle" for name in wanted if name not in names]
    with console.progress("verify", to_read(bundle)) as advance:
        read = verify(bundle, advance)
    report = _said_of(bundle, read)
    bad = bool(read.wrong) or any(one.wrong for one in there)
    lines = [*([_table(there), ""] if there else []), *unlisted, report.text]
    data = {**report.data, "images": _facts(there), "unlisted": unlisted}
    return Report("\n".join(lines), data, 4 if bad else 2 if read.missing or unlisted else 0)


def _said_of(bundle: Bundle, read: Findings) -> Report:
    """What its parts hold."""
    wrong = {name: str(error) for name, error in read.wrong.items()}
    missing = [part.name for part in bundle.index.parts if part.number in read.missing]
    lines = [about(path, error) for path, error in read.wrong.items()]
    lines += [f"not on these media: {', '.join(missing)}"] if missing else []
    images = bundle.index.stack.images if bundle.index.stack else ()
    lines.append(
        f"{counted(len(images), 'image')} in {read.good} of "
        f"{counted(len(bundle.index.parts), 'part')} that are good ({human(read.bytes)})"
    )
    return Report("\n".join(lines), {"wrong": wrong, "missing": missing, "good": read.good})


def _verify_list(args: argparse.Namespace) -> Report:
    """What a release runs, asked for by its names alone. Raises BadValue."""
    from waybill.deliver.images.verify import named

    if args.trust:
        why = "it is about the signature of a bundle, and none is named"
        raise BadValue(what="--trust", value=args.trust, why=why)
    if not args.place:
        raise BadValue(what="verify", value="", why="it takes directories, or --registry, or both")
    there = named(listed_of(args), Place.parse(args.place), reach_of(args))
    bad = any(one.wrong for one in there)
    return Report(_table(there), {"images": _facts(there)}, 4 if bad else 0)


def _facts(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [asdict(one) for one in findings]


def _table(findings: Sequence[Finding]) -> str:
    rows = [(one.name, one.digest or "", one.wrong or "good") for one in findings]
    good = sum(not one.wrong for one in findings)
    text = f"{good} of {counted(len(findings), 'image')} are good"
    return f"{table(('image', 'digest', ''), rows)}\n\n{text}"
