"""compose: an environment's files for a host without Kubernetes."""

from __future__ import annotations

import argparse
import re
from ipaddress import ip_address
from pathlib import Path

from waybill.cli.arguments import Commands
from waybill.cli.install import add_release, release_of
from waybill.cli.output import Console, Report, counted
from waybill.deliver.compose.folder import Written, write
from waybill.deliver.compose.project import FRONT, Options, Project, project

_PLACE = re.compile(r"(?:([\d.]+|\[[0-9a-fA-F:]+\]):)?(\d{1,5})", re.ASCII)
_GPU = re.compile(r"\d+|(GPU|MIG)-[\w/-]+", re.ASCII)
_PULL = {"registry": "missing", "archive": "never"}


def register(commands: Commands) -> None:
    """Add the parser of this module's command."""
    parser = commands.add_parser(
        "compose", help="write Compose files of an environment, for a host without Kubernetes"
    )
    add_release(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument(
        "--publish",
        action="append",
        type=_published,
        metavar="SERVICE=[ADDRESS:]PORT",
        help="where the host offers a service (default: gateway=127.0.0.1:8080, and nothing else)",
    )
    parser.add_argument(
        "--gpus",
        type=_gpus,
        default=[],
        metavar="ID,...",
        help="the GPUs that engines may use, by number or UUID (default: from 0 on)",
    )
    parser.add_argument(
        "--images",
        choices=_PULL,
        default="registry",
        help="where images come from: pulled when missing, or loaded from archives before",
    )
    parser.add_argument(
        "--data",
        default="./data",
        metavar="DIR",
        help="folder of weights and stores, as seen from --out (default: ./data)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")
    parser.set_defaults(run=_compose)


def _published(text: str) -> tuple[str, str]:
    name, _, place = text.partition("=")
    found = _PLACE.fullmatch(place)
    if not (name and found and 0 < int(found[2]) < 1 << 16 and _is_address(found[1])):
        raise argparse.ArgumentTypeError(f"{text!r} is not SERVICE=PORT or SERVICE=ADDRESS:PORT")
    return name, place


def _is_address(text: str | None) -> bool:
    try:
        return text is None or bool(ip_address(text.strip("[]")))
    except ValueError:
        return False


def _gpus(text: str) -> list[str]:
    ids = text.split(",")
    if not all(map(_GPU.fullmatch, ids)) or len({*ids}) < len(ids):
        why = "is not GPUs by number or UUID, each once, as nvidia-smi -L lists them"
        raise argparse.ArgumentTypeError(f"{text!r} {why}")
    return ids


def _compose(args: argparse.Namespace, console: Console) -> Report:
    environment, release = release_of(args)
    # A bare name would be one of Compose's own volumes.
    data = args.data if args.data.startswith(("/", "./", "../")) else f"./{args.data}"
    publish = dict(args.publish) if args.publish else FRONT
    options = Options(data, publish, args.gpus, _PULL[args.images])
    made = project(environment, release, options)
    if release.unpinned:
        console.note(f"{release.unpinned} is not there yet: no engine is among the services")
    written = write(made, args.out, dry_run=args.dry_run)
    return Report(_told(args, made, written), _data(args, made, written))


def _told(args: argparse.Namespace, made: Project, written: Written) -> str:
    would = "would change" if args.dry_run else "changed"
    lines = [f"{would} {path}" for path in written.changed]
    lines += [f"{'would remove' if args.dry_run else 'removed'} {path}" for path in written.gone]
    lines += [
        f"{'would make' if args.dry_run else 'made'} the Secret {name}" for name in written.made
    ]
    services = counted(len(made.content["services"]), "service")
    lines.append(f"{args.out} has {services} of {args.environment}")
    if written.foreign and made.owner:
        owner = ":".join(map(str, made.owner))
        lines.append(f"first: sudo chown -R {owner} {' '.join(written.foreign)}")
    if not args.dry_run:
        command = f"docker compose --project-directory {args.out} up --detach --remove-orphans"
        lines.append(f"next: {command}")
    return "\n".join(lines)


def _data(args: argparse.Namespace, made: Project, written: Written) -> dict[str, object]:
    return {
        "dryRun": args.dry_run,
        "services": sorted(made.content["services"]),
        "images": made.images,
        "changed": list(written.changed),
        "gone": list(written.gone),
        "secrets": {"made": list(written.made), "all": sorted(made.plan.secrets)},
        "foreign": list(written.foreign),
    }
