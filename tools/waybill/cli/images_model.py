"""`waybill images from-model`: a small model as an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from waybill.cli.arguments import Commands, project, size
from waybill.cli.images_arguments import (
    add_policy,
    add_registry_ca,
    add_runtime,
    policy_of,
    reach_of,
    refuse,
)
from waybill.cli.output import Console, Report, human
from waybill.cli.sources import FLAGS, add_source, add_what, cargo_of, roots_of
from waybill.deliver.environments import FILE, Environments
from waybill.deliver.images.choices import LIMIT, Form, command
from waybill.errors import BadValue
from waybill.source.reference import Place, Reference

if TYPE_CHECKING:
    from waybill.bundle.cargo import Cargo
    from waybill.deliver.images.model import ModelImage


def register(actions: Commands) -> None:
    """Add the parser of from-model."""
    model = actions.add_parser(
        "from-model",
        help="put a small model into an image; a large one is refused",
        description="Put a small model, from a bundle or a source, into an image.",
    )
    add_what(model)
    model.add_argument(
        "--name", required=True, metavar="IMAGE", help="registry/repository:tag that it becomes"
    )
    model.add_argument(
        "--form",
        choices=[form.value for form in Form],
        default=Form.ARTIFACT.value,
        help="artifact: a ModelPack, each file a layer, with the model's own digest; "
        "image: a data image, whose files a pod mounts (default: artifact)",
    )
    model.add_argument(
        "--limit",
        type=size,
        metavar="SIZE",
        help="largest model that an image may hold (default: images.modelLimit in "
        f"environments.yaml, else {LIMIT // 10**9}GB)",
    )
    where = model.add_mutually_exclusive_group(required=True)
    where.add_argument("--push", action="store_true", help="send it to its registry")
    where.add_argument("--load", action="store_true", help="give it to a runtime of this machine")
    where.add_argument("--out", type=Path, metavar="FILE", help="write it as an OCI archive")
    add_runtime(model)
    add_registry_ca(model)
    add_policy(model)
    add_source(model)
    model.set_defaults(run=_from_model)


def _from_model(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.images.model import made_of

    form = Form(args.form)
    if form is Form.ARTIFACT and args.load:
        why = "runtimes take images alone: --form image"
        raise BadValue(what="--form", value=args.form, why=why)
    place, reference = Place.of_image(args.name)
    limit = _limit(args)
    cargo = _cargo(args, console, limit)
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


def _limit(args: argparse.Namespace) -> int:
    """Of the flag, of the project where there is one, or ours. Raises BadFile."""
    if args.limit is not None:
        return int(args.limit)
    there = (project(args) / FILE).is_file()
    set_here = Environments.load(project(args)).model_limit if there else None
    return LIMIT if set_here is None else set_here


def _cargo(args: argparse.Namespace, console: Console, limit: int) -> Cargo:
    """One model. Raises BadValue for a bundle of another number, ModelTooLarge."""
    from waybill.bundle.cargo import BundleCargo
    from waybill.bundle.format import INDEX
    from waybill.bundle.media import Bundle
    from waybill.deliver.images.model import require_small

    if not any(Path(one, INDEX).is_file() for one in args.what):
        # Before a byte is read: what is large takes hours.
        look = lambda repo, size: require_small(repo, size, limit)  # noqa: E731
        return cargo_of(args, console, look=look).trust(policy_of(args))
    said = {"--as": "repo", "--include": "include", "--exclude": "exclude"}
    said |= {f"--{flag.replace('_', '-')}": flag for flag in ("allow_pickle", "manifest", *FLAGS)}
    refuse(args, said, "it is not for a bundle")
    roots = roots_of(args)
    bundle = Bundle.open([roots.check(Path(one)) for one in args.what])
    if len(bundle.index.revisions) != 1:
        why = "an image holds one model, and this bundle has another number of them"
        raise BadValue(what="bundle", value=" ".join(args.what), why=why)
    bundle.require(bundle.index.models.parts)
    return BundleCargo(bundle).trust(policy_of(args))


def _bring(args: argparse.Namespace, model: ModelImage, place: Place, console: Console) -> int:
    """Where it was asked to go; bytes that were sent."""
    from waybill.deliver.images.archive import Archive
    from waybill.deliver.images.load import pipe, write
    from waybill.deliver.images.push import Repositories

    with console.progress("send", model.image.size) as advance:
        if args.push:
            reference = Reference.parse(model.image.name)
            repository = Repositories(place, reach_of(args))[reference.repository]
            return model.push(repository, reference.tag, advance)
        archive = Archive([model.image], model.image.blobs, model.content)
        if args.load:
            pipe(command(args.runtime, args.address), archive.chunks(), advance)
        else:
            write(args.out, archive.chunks(), advance)
    return model.image.size
