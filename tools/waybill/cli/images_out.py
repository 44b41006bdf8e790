"""`waybill images push|load|verify|from-model`: out of a bundle, to where nodes find them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.cli.arguments import Commands, add_folders, add_rate, paced, project, size
from waybill.cli.install import add_chart, release_of
from waybill.cli.output import Console, Report, counted, human, table
from waybill.cli.sources import FORMS, add_source, source_of
from waybill.deliver import helm
from waybill.deliver.helm import Helm
from waybill.errors import BadValue
from waybill.sign.trust import Policy
from waybill.source.reference import Place

if TYPE_CHECKING:
    from waybill.bundle.cargo import Cargo
    from waybill.bundle.media import Bundle
    from waybill.deliver.images.model import ModelImage
    from waybill.deliver.images.verify import Finding
    from waybill.source.reach import Reach

RUNTIMES = ("containerd", "docker", "podman")


def register(actions: Commands) -> None:
    """Add the parsers of what reads bundles."""
    push = actions.add_parser("push", help="send a bundle's images to a registry: what it lacks")
    add_folders(push)
    _add_registry(push, "--to", required=True)
    _add_trust(push)
    add_rate(push)
    push.add_argument("--dry-run", action="store_true", help="say what would be sent")
    push.set_defaults(run=run_push)

    load = actions.add_parser("load", help="give a bundle's images to a runtime of this machine")
    add_folders(load)
    _add_runtime(load)
    load.add_argument(
        "--as",
        dest="place",
        metavar="REGISTRY[/PREFIX]",
        help="under the names that global.imageRegistry makes of them (default: their own)",
    )
    _add_trust(load)
    load.set_defaults(run=run_load)

    verify = actions.add_parser(
        "verify",
        help="check a bundle's images, and that a registry has them, or what a release runs",
    )
    add_folders(verify, "*")
    _add_registry(verify, "--registry")
    add_list(verify)
    _add_trust(verify)
    verify.set_defaults(run=run_verify)
    _register_model(actions)


def _register_model(actions: Commands) -> None:
    model = actions.add_parser(
        "from-model",
        help="put a small model into an image; a large one is refused",
        description="Put a small model, from a bundle or a source, into an image.",
    )
    model.add_argument(
        "what", nargs="*", metavar="DIR|SOURCE", help=f"media of a bundle; or one source: {FORMS}"
    )
    model.add_argument(
        "--name", required=True, metavar="IMAGE", help="registry/repository:tag that it becomes"
    )
    model.add_argument(
        "--form",
        choices=("artifact", "image"),
        default="artifact",
        help="artifact: a ModelPack, each file a layer, with the model's own digest; "
        "image: a data image, whose files a pod mounts (default: artifact)",
    )
    model.add_argument(
        "--limit",
        type=size,
        metavar="SIZE",
        help="largest model that an image may hold (default: 1GB)",
    )
    where = model.add_mutually_exclusive_group(required=True)
    where.add_argument("--push", action="store_true", help="send it to its registry")
    where.add_argument("--load", action="store_true", help="give it to a runtime of this machine")
    where.add_argument("--out", type=Path, metavar="FILE", help="write it as an OCI archive")
    _add_runtime(model)
    model.add_argument("--registry-ca", metavar="FILE", help="PEM file of the registry's CA")
    _add_trust(model)
    add_source(model)
    model.set_defaults(run=run_from_model)


def _add_registry(parser: argparse.ArgumentParser, flag: str, *, required: bool = False) -> None:
    parser.add_argument(
        flag,
        dest="place",
        required=required,
        metavar="REGISTRY[/PREFIX]",
        help="what global.imageRegistry is in the values; oci+http:// before it: without TLS",
    )
    parser.add_argument("--registry-ca", metavar="FILE", help="PEM file of the registry's CA")


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runtime", choices=RUNTIMES, help="who takes them (default: the first that is here)"
    )
    parser.add_argument("--address", metavar="SOCKET", help="containerd's socket")


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust", metavar="FILE", help="trust policy: whose signatures the bundle has to have"
    )


def add_list(parser: argparse.ArgumentParser) -> None:
    """Which release the images are of."""
    parser.add_argument(
        "--env",
        dest="environment",
        metavar="ENV",
        help="those that this environment runs (default: all that the chart may run)",
    )
    parser.add_argument(
        "--all", action="store_true", help="with --env: also what its values could switch on"
    )
    add_chart(parser)


def release(args: argparse.Namespace) -> tuple[Helm, bool]:
    """What `add_list` arguments name, and whether all that it could switch on is meant."""
    if args.environment:
        return release_of(args)[1], args.all
    chart = Path(args.chart) if args.chart else project(args) / helm.CHART
    files = [Path(file) for file in args.values]
    return Helm(chart, "waybill", "waybill", files=files), True


def _bundle(args: argparse.Namespace) -> Bundle:
    """Opened, with images, and let in by the policy."""
    from waybill.bundle.media import Bundle
    from waybill.deliver.images.parts import require_trust

    policy = Policy.load(Path(args.trust)) if args.trust else None
    return require_trust(Bundle.open(args.folders), policy)


def _reach(args: argparse.Namespace) -> Reach:
    from waybill.source.reach import Reach

    return Reach(ca_bundle=args.registry_ca)


def run_push(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.push import Pushing

    place = Place.parse(args.place)
    pushing = Pushing.plan(_bundle(args), place, _reach(args))
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


def run_load(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.load import archive_of, command, pipe

    archive = archive_of(_bundle(args), Place.parse(args.place) if args.place else None)
    program = command(args.runtime, args.address)
    with console.progress("load", sum(blob.size for blob in archive.blobs)) as advance:
        said = pipe(program, archive.chunks(), advance)
    names = [one.name for one in archive.images]
    text = f"{program[0]} has {counted(len(names), 'image')}"
    return Report("\n".join([*names, text]), {"runtime": program[0], "images": names, "said": said})


def run_verify(args: argparse.Namespace, console: Console) -> Report:
    if not (args.folders or args.place):
        raise BadValue(what="verify", value="", why="it takes directories, or --registry, or both")
    if not args.folders:
        return _verify_list(args)
    from waybill.bundle.verify import verify
    from waybill.deliver.images.push import targets
    from waybill.deliver.images.verify import whole

    bundle = _bundle(args)
    stack = bundle.index.stack
    assert stack  # noqa: S101 - `_bundle` raises where there is none
    unlisted = _unlisted(args, {one.name for one in stack.images})
    if args.place:
        place = Place.parse(args.place)
        return _told(whole(targets(stack, place), place, _reach(args)), unlisted)
    with console.progress("verify", sum(part.size for part in bundle.index.parts)) as advance:
        findings = verify(bundle, advance)
    wrong = {name: str(error) for name, error in findings.wrong.items()}
    lines = [f"{name}: {error}" for name, error in wrong.items()] + unlisted
    missing = [part.name for part in bundle.index.parts if part.number in findings.missing]
    lines += [f"not on these media: {', '.join(missing)}"] if missing else []
    total = len(bundle.index.parts)
    lines.append(
        f"{counted(len(stack.images), 'image')} in {findings.good} of {counted(total, 'part')} "
        f"that are good ({human(findings.bytes)})"
    )
    data = {"wrong": wrong, "missing": missing, "unlisted": unlisted, "good": findings.good}
    return Report("\n".join(lines), data, 4 if wrong else 2 if missing or unlisted else 0)


def _verify_list(args: argparse.Namespace) -> Report:
    """What a release runs, asked for by its names alone."""
    from waybill.deliver.images import listed
    from waybill.deliver.images.verify import named

    chosen, everything = release(args)
    images = [one.reference for one in listed(chosen, everything=everything)]
    return _told(named(images, Place.parse(args.place), _reach(args)), [])


def _unlisted(args: argparse.Namespace, there: set[str]) -> list[str]:
    """What the environment runs and the bundle has not."""
    if not args.environment:
        return []
    from waybill.deliver.images import listed

    chosen, everything = release(args)
    names = [one.reference.tagged for one in listed(chosen, everything=everything)]
    return [f"{name}: not in the bundle" for name in names if name not in there]


def _told(findings: Sequence[Finding], unlisted: Sequence[str]) -> Report:
    wrong = [one for one in findings if one.wrong]
    rows = [(one.name, one.digest or "", one.wrong or "good") for one in findings]
    text = f"{len(findings) - len(wrong)} of {counted(len(findings), 'image')} are good"
    lines = [table(("image", "digest", ""), rows), *unlisted, "", text]
    data = {"images": [asdict(one) for one in findings], "unlisted": list(unlisted)}
    return Report("\n".join(lines), data, 4 if wrong else 2 if unlisted else 0)


def run_from_model(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.model import LIMIT, Form, made_of

    form = Form(args.form)
    if form is Form.ARTIFACT and args.load:
        why = "runtimes take images alone: --form image"
        raise BadValue(what="--form", value=args.form, why=why)
    place, reference = Place.of_image(args.name)
    cargo = _cargo(args, console)
    limit = LIMIT if args.limit is None else args.limit
    with console.progress("read", 0) as advance:
        model = made_of(cargo, str(reference), form, limit=limit, advance=advance)
    sent = _bring(args, model, place, console)
    (revision,) = cargo.revisions
    data = {
        "name": model.image.name,
        "digest": model.image.descriptor.digest,
        "size": model.image.size,
        "repo": str(revision.repo),
        "commit": revision.manifest.commit,
        "sent": sent,
    }
    text = (
        f"{revision.repo} at {revision.manifest.commit} is {model.image.name}"
        f"@{model.image.descriptor.digest} ({human(model.image.size)})"
    )
    return Report(text, data)


def _cargo(args: argparse.Namespace, console: Console) -> Cargo:
    """Raises BadValue unless it is one model."""
    from waybill.bundle.cargo import BundleCargo
    from waybill.bundle.direct import SourceCargo
    from waybill.bundle.format import INDEX
    from waybill.bundle.media import Bundle

    if any(Path(one, INDEX).is_file() for one in args.what):
        bundle = Bundle.open([Path(one) for one in args.what])
        cargo: Cargo = BundleCargo(bundle)
        bundle.require(bundle.index.models.parts)
    else:
        args.source = args.what[0] if args.what else None
        wanted = source_of(args)
        with console.progress("read", 0) as advance:
            cargo = SourceCargo.plan(
                wanted.source,
                wanted.repo,
                allow_pickle=wanted.allow_pickle,
                choice=wanted.choice,
                advance=advance,
            )
    if len(cargo.revisions) != 1:
        why = "an image holds one model, and this bundle has another number of them"
        raise BadValue(what="bundle", value=" ".join(args.what), why=why)
    return cargo.trust(Policy.load(Path(args.trust)) if args.trust else None)


def _bring(args: argparse.Namespace, model: ModelImage, place: Place, console: Console) -> int:
    """Where it was asked to go; bytes that were sent."""
    from waybill.deliver.images.archive import Archive
    from waybill.deliver.images.load import command, pipe, write
    from waybill.deliver.images.push import Repositories
    from waybill.source.reference import Reference

    with console.progress("send", model.image.size) as advance:
        if args.push:
            reference = Reference.parse(model.image.name)
            repository = Repositories(place, _reach(args))[reference.repository]
            return model.push(repository, reference.tag, advance)
        archive = Archive([model.image], model.image.blobs, model.content)
        if args.load:
            pipe(command(args.runtime, args.address), archive.chunks(), advance)
        else:
            write(args.out, archive.chunks(), advance)
    return model.image.size
