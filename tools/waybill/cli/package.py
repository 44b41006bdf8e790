"""`waybill package`: a release for one of Replicated's installers, or one checked by its rules."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from waybill.cli.arguments import Commands
from waybill.cli.install import add_chart, chart_of
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, counted, human, table
from waybill.deliver.installer import release as releases
from waybill.deliver.installer.bom import Contents
from waybill.deliver.installer.lint import Finding, Folder, examine, lint
from waybill.deliver.installer.output import write
from waybill.deliver.installer.release import Order
from waybill.deliver.installer.targets import TARGETS
from waybill.errors import BadValue, ReleaseRefused

_APART = "install the operator apart, as tools/docs/gpus.md says"
_NOWHERE = "waybill.local/"
"""The registry of images that are made from this project, until a vendor names another."""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "package",
        help="make a release for Replicated's installers, or check one",
        description="Make a release for one of Replicated's installers: a folder to upload, the "
        "same as an archive, and the list of what is in it. With --lint, check a release instead.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    titles = ", ".join(f"{name} ({each.title})" for name, each in TARGETS.items())
    what.add_argument("--target", choices=TARGETS, help=f"the installer: {titles}")
    what.add_argument("--lint", type=Path, metavar="DIR", help="check the release in this folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the release")
    parser.add_argument(
        "--version", metavar="VERSION", help="of the release and its charts (default: the chart's)"
    )
    add_chart(parser, "the vendor's values: registries of images, models that customers may pin")
    parser.add_argument(
        "--images",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="media of a bundle with the images, whose digests and sizes are listed then",
    )
    parser.add_argument(
        "--gpu-operator",
        type=Path,
        metavar="TGZ",
        help="Embedded Cluster 3 also installs this chart of NVIDIA's GPU operator",
    )
    versions = ", ".join(
        f"{each.cluster} for {name}" for name, each in TARGETS.items() if each.cluster
    )
    parser.add_argument(
        "--cluster-version",
        metavar="VERSION",
        default="",
        help=f"of Embedded Cluster and its Kubernetes (default: {versions})",
    )
    add_key(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> Report:
    if args.lint:
        return _lint(args.lint)
    return _package(args, console)


def _lint(folder: Path) -> Report:
    findings = lint(folder)
    data = {"findings": [each._asdict() for each in findings]}
    return Report(_told(findings), data, 2 if _errors(findings) else 0)


def _package(args: argparse.Namespace, console: Console) -> Report:
    order = _order(args)
    signer = signer_of(args, console)
    release = releases.build(order)
    findings = examine(Folder(release.files))
    if errors := _errors(findings):
        rules = counted(len({each.rule for each in errors}), "rule")
        first = f"{errors[0].file}: {errors[0].message}" if errors[0].file else errors[0].message
        raise ReleaseRefused(folder=args.out, count=rules, first=first)
    images = sorted({place.name for place in release.images})
    contents = _contents(args.images)
    for line in _notes(images, contents, findings):
        console.note(line)
    if signer is None:
        console.note("warning: the list of what is in it is not signed: give --key")
    written = write(release, args.out, signer, contents)
    size = human(written.archive.stat().st_size)
    text = (
        f"{order.target.title}: version {release.version} is in {written.folder}, and as "
        f"{written.archive.name} ({size}); {counted(len(images), 'image')} belong to it"
    )
    data = {
        "target": order.target.name,
        "version": release.version,
        "release": str(written.folder),
        "archive": str(written.archive),
        "bom": str(written.bom),
        "signature": str(written.signature) if written.signature else None,
        "images": images,
        "findings": [each._asdict() for each in findings],
    }
    return Report(text, data)


def _order(args: argparse.Namespace) -> Order:
    """Raises BadValue, BadFile."""
    if not args.out:
        raise BadValue(what="--out", value="", why="a release needs a new folder")
    target = TARGETS[args.target]
    if args.cluster_version and not target.cluster:
        why = f"{target.title} brings no Kubernetes along"
        raise BadValue(what="--cluster-version", value=args.cluster_version, why=why)
    if args.gpu_operator and not target.charts_only:
        why = f"with {target.title} its images are in no air-gapped bundle: {_APART}"
        raise BadValue(what="--gpu-operator", value=str(args.gpu_operator), why=why)
    return Order(
        target=target,
        chart=chart_of(args),
        version=args.version,
        vendor=releases.vendor_values([Path(file) for file in args.values]),
        operator=args.gpu_operator,
        cluster=args.cluster_version,
    )


def _contents(folders: Sequence[Path]) -> Contents:
    """What a bundle has. Raises NoImages, and what a bundle that cannot be read does."""
    if not folders:
        return {}
    from waybill.bundle.media import Bundle
    from waybill.deliver.images.parts import stack_of

    images = stack_of(Bundle.open(folders)).images
    return {one.name.partition("@")[0]: (one.descriptor.digest, one.size) for one in images}


def _notes(images: Sequence[str], contents: Contents, findings: Sequence[Finding]) -> list[str]:
    lines = [f"{each.level}: {each.rule}: {each.message}" for each in findings]
    if contents and (missing := [name for name in images if name not in contents]):
        lines.append(f"warning: the bundle has no {', '.join(missing)}: listed without a digest")
    if nowhere := [name for name in images if name.startswith(_NOWHERE)]:
        lines.append(
            f"warning: nobody can pull {', '.join(nowhere)}: copy them to a registry of yours, and "
            "name it in --values"
        )
    return lines


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [each for each in findings if each.level == "error"]


def _told(findings: Sequence[Finding]) -> str:
    if not findings:
        return "the release breaks no rule"
    rows = [[each.level, each.rule, each.file, each.message] for each in findings]
    return table(["LEVEL", "RULE", "FILE", "FOUND"], rows)
