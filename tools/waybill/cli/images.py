"""`waybill images`: which images there are, and how they come into a closed room."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.cli import images_model, images_out
from waybill.cli.arguments import Commands, size
from waybill.cli.images_arguments import (
    OF_A_RELEASE,
    add_list,
    add_registry,
    listed_of,
    reach_of,
    refuse,
    release,
)
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, counted, human, table
from waybill.errors import ImageMissing
from waybill.source.reference import PLATFORM, Place, Reference

if TYPE_CHECKING:
    from waybill.source.images import Image, Images


def register(commands: Commands) -> None:
    """Add the parsers of this module's commands."""
    parser = commands.add_parser(
        "images", help="bring the container images of a release into a closed room"
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    show = actions.add_parser("list", help="the images that a release, a chart or a bundle has")
    show.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="media of a bundle")
    add_list(show)
    _add_places(show)
    show.set_defaults(run=run_list)

    save = actions.add_parser("save", help="put images and the chart into a bundle")
    save.add_argument(
        "names", nargs="*", metavar="IMAGE", help="these, by whole names; with --env, too"
    )
    save.add_argument(
        "--out",
        action="append",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the parts go; a bundle of models that is there gets them, too (all its media)",
    )
    add_list(save)
    _add_places(save)
    save.add_argument("--no-chart", action="store_true", help="leave out the chart")
    save.add_argument(
        "--part-size", type=size, metavar="SIZE", help="largest part, as 4GB (default: 4GB)"
    )
    save.add_argument("--base", type=Path, metavar="DIR", help="leave out what this bundle has")
    add_key(save)
    save.add_argument("--dry-run", action="store_true", help="say what would be saved")
    save.set_defaults(run=run_save)
    images_out.register(actions)
    images_model.register(actions)


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Where images can be had."""
    mirror = "a mirror that has them under their own paths (default: each image's own registry)"
    add_registry(parser, "--from", mirror)
    parser.add_argument(
        "--archive",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="an OCI archive, asked before any registry; repeatable",
    )
    parser.add_argument(
        "--platform",
        default=PLATFORM,
        metavar="OS/ARCH",
        help=f"of images for several (default: {PLATFORM})",
    )


def run_list(args: argparse.Namespace, console: Console) -> Report:
    if args.folders:
        flags = {"--env": "environment", "--from": "place", "--archive": "archive", **OF_A_RELEASE}
        refuse(args, flags, "a directory lists its own images, and asks nobody else")
        return _of_bundle(args.folders)
    from waybill.deliver.images import listed

    chosen, everything = release(args)
    images = listed(chosen, everything=everything)
    known: Mapping[Reference, Image] = {}
    if args.place or args.archive:
        known = _resolved(args, [one.reference for one in images], console)
    rows, data = [], []
    for one in images:
        facts = one.as_json()
        if image := known.get(one.reference):
            facts |= {"digest": image.descriptor.digest, "size": image.size}
        data.append(facts)
        amount = human(facts["size"]) if "size" in facts else ""
        needs = one.needs or "always"
        rows.append((str(one.reference), amount, facts["digest"], needs, ", ".join(one.components)))
    head = ("image", "size", "digest", "brought by", "run by")
    return Report(table(head, rows), {"images": data})


def _of_bundle(folders: Sequence[Path]) -> Report:
    from waybill.bundle.media import Bundle
    from waybill.deliver.images.parts import stack_of

    images = stack_of(Bundle.open(folders)).images
    return Report(_table(images), {"images": _facts(images)})


def _facts(images: Iterable[Image]) -> list[dict[str, Any]]:
    return [{"name": one.name, "digest": one.descriptor.digest, "size": one.size} for one in images]


def _table(images: Iterable[Image]) -> str:
    rows = [(one.name, human(one.size), one.descriptor.digest) for one in images]
    return table(("image", "size", "digest"), rows)


def images_from(args: argparse.Namespace, *, anywhere: bool = True) -> Images:
    """The archives that the arguments name, then the mirror, else the images' own registries."""
    from waybill.source.archives import ArchiveImages
    from waybill.source.images import FirstOf, RegistryImages

    places: list[Images] = [ArchiveImages(args.archive)] if args.archive else []
    if args.place or anywhere:
        place = Place.parse(args.place) if args.place else None
        places.append(RegistryImages(reach_of(args), place))
    return FirstOf(places)


def _resolved(
    args: argparse.Namespace, references: Sequence[Reference], console: Console
) -> dict[Reference, Image]:
    """Those that are there; the others are told."""
    from waybill.source.images import resolve

    # Of those that are nowhere near, it is enough to say so.
    images, found = images_from(args, anywhere=False), {}
    for one in references:
        try:
            found[one] = resolve(images, one, args.platform)
        except ImageMissing as error:
            console.note(f"{error}")
    return found


def run_save(args: argparse.Namespace, console: Console) -> Report:
    from waybill.bundle.base import Base
    from waybill.bundle.cut import PART_SIZE
    from waybill.bundle.images import Saving
    from waybill.bundle.outputs import require_seal
    from waybill.source.images import resolve

    signer = signer_of(args, console)
    require_seal(args.out, signer)
    references = _references(args)
    images = images_from(args)
    wanted = {one: resolve(images, one, args.platform) for one in references}
    files = _files(args, wanted.values())
    base = Base.of_bundle([args.base]) if args.base else None
    saving = Saving.plan(
        args.out, images, wanted, files, part_size=args.part_size or PART_SIZE, base=base
    )
    data: dict[str, Any] = {
        "images": _facts(wanted.values()),
        "files": sorted(files),
        "bytes": saving.size,
        "parts": len(saving.parts),
        "leftOut": len(saving.there),
    }
    text = f"{counted(len(wanted), 'image')}, {human(saving.size)} in "
    text += counted(len(saving.parts), "part")
    if args.dry_run:
        return Report(f"{_table(wanted.values())}\n\n{text}", data)
    with console.progress("save", saving.size) as advance:
        saved = saving.run(args.out, advance, signer)
    text += f", {saved.reused} of them from an earlier run" if saved.reused else ""
    text += f"; signed by the key {signer.key_id}" if signer else ""
    return Report(text, {**data, "reused": saved.reused})


def _files(args: argparse.Namespace, images: Iterable[Image]) -> dict[str, bytes]:
    """Path -> content of what comes beside images: the chart, and the list of all there is."""
    from waybill.bundle.images import revisions_in
    from waybill.deliver.images.bom import NAME, bom
    from waybill.deliver.installer.charts import Chart, packaged

    charts = []
    if not args.no_chart:
        path = release(args)[0].chart
        charts = [Chart.read(path) if path.is_file() else packaged(path, None)]
    files = {f"charts/{chart.file}": chart.data for chart in charts}
    return {NAME: bom(revisions_in(args.out), images, charts), **files}


def _references(args: argparse.Namespace) -> list[Reference]:
    """Those that are named, and those of the list where an environment is, or none is named."""
    named = [Reference.parse(name) for name in args.names]
    if named and not args.environment:
        return named
    return list(dict.fromkeys([*listed_of(args), *named]))
