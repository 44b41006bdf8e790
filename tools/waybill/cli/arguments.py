"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path
from typing import Any, TypeAlias

from waybill.deliver.environments import FILE, Environment, Environments
from waybill.errors import BadValue
from waybill.sign.trust import Policy
from waybill.store.base import Advance
from waybill.store.connect import Access, connect
from waybill.store.pace import LEAST, Paced
from waybill.store.sizes import parse_size
from waybill.store.store import Store

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


FORMS = "s3://bucket/prefix, file:///path, or the name of an environment"
REACH = {
    "endpoint": "URL of the S3 server, unless it is AWS",
    "profile": "credentials profile in the AWS shared files",
    "ca-bundle": "PEM file of the CA that signed the server's key",
}
"""How a store is reached that no environment names: flag -> help."""


def add_store(
    parser: argparse.ArgumentParser,
    flag: str,
    what: str,
    *,
    required: bool = True,
    writes: bool = False,
) -> None:
    """A store as an option (`--to`, `--from` ...) or positional, and how to reach it."""
    option: dict[str, Any] = {"dest": "store", "required": required} if flag[0] == "-" else {}
    parser.add_argument(flag, metavar="STORE", help=f"{what}: {FORMS}", **option)
    for name, text in REACH.items():
        parser.add_argument(f"--{name}", help=text)
    parser.set_defaults(single_writer=False)
    if writes:
        add_single_writer(parser)


def add_side(parser: argparse.ArgumentParser, side: str) -> None:
    """How one of several stores is reached, as `--from-endpoint`."""
    for name, text in REACH.items():
        parser.add_argument(f"--{side}-{name}", help=text)


def add_single_writer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--single-writer",
        action="store_true",
        help="nobody else writes to this store: allow a server without conditional writes",
    )


def add_sending(parser: argparse.ArgumentParser) -> None:
    """How much may go to a store, and how fast."""
    add_rate(parser)
    parser.add_argument(
        "--capacity",
        type=size,
        metavar="SIZE",
        help="what the store may hold, as 2TB: what would not fit is refused before its first byte "
        "(default: capacity in environments.yaml; a directory's own disk is always asked)",
    )


def add_rate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit-rate",
        type=_rate,
        metavar="SIZE",
        help="send at most this much a second, as 50MB; 100kB or more (0: as fast as it goes)",
    )


def _rate(text: str) -> int:
    """As `size`, and enough."""
    if 0 < (found := size(text)) < LEAST:
        why = f"servers hang up at so little a second: {LEAST // 1000}kB is the least"
        raise argparse.ArgumentTypeError(f"{text!r} is not usable: {why}")
    return found


def paced(args: argparse.Namespace, advance: Advance) -> Advance:
    """Keep to --limit-rate."""
    return Paced(advance, args.limit_rate) if args.limit_rate else advance


def open_store(
    args: argparse.Namespace, *, public_endpoint: str | None = None, side: str = ""
) -> Store:
    """The store that `add_store` arguments name: a URL, or an environment of the project.

    `side` begins the flags where a command has two stores.
    """
    capacity = getattr(args, "capacity", None)
    if _is_url(args.store):
        access = Access(args.endpoint, args.profile, args.ca_bundle, public_endpoint)
        return connect(args.store, access, single_writer=args.single_writer, capacity=capacity)
    return _environment(args, side).connect(
        single_writer=args.single_writer, public_endpoint=public_endpoint, capacity=capacity
    )


def of_side(args: argparse.Namespace, side: str, store: str, **more: Any) -> argparse.Namespace:
    """What `add_side` arguments say of this store, as if it were the only one."""
    names = [flag.replace("-", "_") for flag in REACH]
    reach = {name: getattr(args, f"{side}_{name}") for name in names}
    facts = {"project": args.project, "single_writer": False, **reach, **more}
    return argparse.Namespace(store=store, **facts)


def _is_url(store: str) -> bool:
    return "/" in store or store.startswith(".")


def _environment(args: argparse.Namespace, side: str = "") -> Environment:
    """Raises BadValue for flags about what environments.yaml says, UnknownEnvironment."""
    for flag in ("endpoint", "profile", "ca_bundle"):
        _refuse(args, flag, side)
    if not (project(args) / FILE).is_file():
        why = f"it is no URL, and {project(args) / FILE}, which could name it, is not there"
        raise BadValue(what="store", value=args.store, why=f"{why}; a directory is ./{args.store}")
    return Environments.load(project(args))[args.store]


def add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        metavar="FILE",
        help="trust policy: whose signatures are asked for (default: the environment's)",
    )


def policy_of(args: argparse.Namespace) -> Policy | None:
    """The trust policy of the store, or that of --trust. Raises BadFile."""
    path = trust_path(args)
    return Policy.load(path) if path else None


def trust_path(args: argparse.Namespace) -> Path | None:
    """The file that says whom to trust: the environment's where the store is one's."""
    if args.store and not _is_url(args.store):
        _refuse(args, "trust")
        return _environment(args).trust_path
    return Path(args.trust) if args.trust else None


def _refuse(args: argparse.Namespace, flag: str, side: str = "") -> None:
    """Raises BadValue for a flag about what environments.yaml says."""
    if value := getattr(args, flag):
        why = f"{args.store} is an environment, and environments.yaml says it"
        raise BadValue(what=f"--{side}{flag.replace('_', '-')}", value=value, why=why)


def project(args: argparse.Namespace) -> Path:
    """The directory that holds values/environments.yaml."""
    return Path(args.project)


def add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--why", default="", type=words, help="a reason, kept in the history")
    parser.add_argument(
        "--by", default=whoami(), type=words, help="who decides (default: the user)"
    )


def words(text: str) -> str:
    """Text for the history: one line that every terminal can show."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError("it must be one line of printable characters")
    return text


def whoami() -> str:
    try:
        return os.environ.get("WAYBILL_BY") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def add_folders(parser: argparse.ArgumentParser, count: str = "+") -> None:
    parser.add_argument(
        "folders", nargs=count, type=Path, metavar="DIR", help="media of the bundle"
    )


def size(text: str) -> int:
    """Bytes from `4GB`, `650MB`, `4GiB` or a plain number."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
