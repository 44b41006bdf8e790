"""Where a model comes from: arguments, or an import manifest, of every command that reads one."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.bundle.format import INDEX
from waybill.cli.output import Console
from waybill.errors import BadValue
from waybill.sign.keys import Signer
from waybill.source import imports
from waybill.source.base import Source
from waybill.source.connect import open_source
from waybill.source.directory import DirectorySource
from waybill.source.reach import Reach, Roots
from waybill.source.select import Choice
from waybill.store.layout import RepoId

if TYPE_CHECKING:
    from waybill.bundle.direct import SourceCargo

ROOTS = "WAYBILL_SOURCE_ROOTS"
FORMS = (
    "a path, hf://owner/name@revision, s3://bucket/prefix/, https://host/path/file, "
    "oci://registry/repository:tag, hub+https://… or store+s3://…#owner/name@revision"
)
REACH = {
    "endpoint": ("URL", "URL of the S3 server, or of the Hugging Face endpoint"),
    "profile": ("NAME", "credentials profile in the AWS shared files"),
    "ca-bundle": ("FILE", "PEM file of the CA that signed the server's key"),
    "token-file": ("FILE", "file with a bearer token (default: WAYBILL_HTTP_TOKEN, or netrc)"),
    "client-certificate": ("FILE", "PEM file of a client certificate"),
    "client-key": ("FILE", "PEM file of its key, unless the certificate's file has it"),
    "sha256": ("HEX", "SHA-256 that the file of an http(s) URL must have"),
}
"""How a source is reached: end of the flag -> its value and its help."""
FLAGS = tuple(f"source_{name.replace('-', '_')}" for name in REACH)
"""These flags, as arguments."""


@dataclass(frozen=True)
class Wanted:
    """A source, what of it is wanted, and as what."""

    source: Source
    repo: RepoId | None
    choice: Choice
    allow_pickle: bool


def add_source(parser: argparse.ArgumentParser) -> None:
    """All about a source but itself, which is `args.source`."""
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="an import manifest that says all this; what the command line says goes before it",
    )
    parser.add_argument("--as", dest="repo", metavar="OWNER/NAME", help="the repo it becomes")
    parser.add_argument(
        "--include",
        action="append",
        metavar="PATTERN",
        help="pack files like this alone, as 'onnx/*', also what is dropped otherwise; repeatable",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        metavar="PATTERN",
        help="leave out files like this, as '*.gguf' or 'assets/'; repeatable",
    )
    parser.add_argument("--allow-pickle", action="store_true", help="pack pickled weights")
    for name, (metavar, text) in REACH.items():
        parser.add_argument(f"--source-{name}", metavar=metavar, help=text)
    parser.add_argument(
        "--allow-root",
        action="append",
        type=Path,
        metavar="DIR",
        help=f"confine sources of this machine to DIR; repeatable (also: {ROOTS}=DIR:DIR)",
    )


def add_what(parser: argparse.ArgumentParser) -> None:
    """`args.what`: the media of a bundle, or a source."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="DIR|SOURCE",
        help=f"media of a bundle; or one source: {FORMS}",
    )


def said_of(args: argparse.Namespace) -> Mapping[str, Any]:
    """What the arguments, or the manifest that they name, say, under the keys of a manifest.

    Raises BadFile, OutsideRoots, and BadValue where nothing names a source.
    """
    given = {key: value for key, value in _arguments(args).items() if value}
    said = (_manifest(args) if args.manifest else {}) | given
    if not said.get("source"):
        raise BadValue(what="source", value="", why="say where the model comes from")
    return said


def roots_of(args: argparse.Namespace) -> Roots:
    """What the service and the caller allow. Raises BadValue for a service that names nothing:
    that is a slip, and no word for everything."""
    told = os.environ.get(ROOTS)
    allowed = [Path(one) for one in (told or "").split(os.pathsep) if one]
    if told is not None and not allowed:
        raise BadValue(what=ROOTS, value=told, why="it names no directory: name one, or unset it")
    return Roots(tuple(tuple(group) for group in (allowed, args.allow_root) if group))


def source_of(args: argparse.Namespace) -> Wanted:
    """The source that they name, opened. Raises what `said_of` and `open_source` do."""
    said = said_of(args)
    if secret := said.get("secret"):
        why = "it counts for waybill sideload --in-cluster alone: leave it out of the manifest"
        raise BadValue(what="secret", value=secret, why=why)
    if (key := said.get("clientKey")) and not said.get("clientCertificate"):
        why = "it goes with a certificate: --source-client-certificate"
        raise BadValue(what="--source-client-key", value=key, why=why)
    reach = {name.replace("-", "_"): said.get(_camel(name)) for name in REACH}
    source = open_source(said["source"], Reach(**reach, roots=roots_of(args)))
    if isinstance(source, DirectorySource) and is_bundle(source.root):
        why = "it is a bundle, and no model: give its directory as it is to waybill sideload"
        raise BadValue(what="source", value=said["source"], why=why)
    return Wanted(
        source,
        RepoId.parse(said["as"]) if said.get("as") else None,
        Choice(said.get("include", ()), said.get("exclude", ())),
        bool(said.get("allowPickle")),
    )


def is_bundle(folder: Path) -> bool:
    """A model may have a file of the index's name."""
    return (folder / INDEX).is_file() and any(folder.glob("part-*.tar"))


def cargo_of(
    args: argparse.Namespace,
    console: Console,
    signer: Signer | None = None,
    look: Callable[[RepoId, int], None] = lambda _repo, _size: None,
) -> SourceCargo:
    """The one source of `args.what`, or of the manifest, read; see `SourceCargo.plan`.

    Raises BadValue for several, and what both cannot be read for.
    """
    if len(args.what) > 1:
        why = "one source at a time; the media of a bundle are directories with its bundle.json"
        raise BadValue(what="source", value=" ".join(args.what), why=why)
    args.source = args.what[0] if args.what else None
    return read(source_of(args), console, signer, look)


def read(
    wanted: Wanted,
    console: Console,
    signer: Signer | None = None,
    look: Callable[[RepoId, int], None] = lambda _repo, _size: None,
) -> SourceCargo:
    """As `SourceCargo.plan`, with its progress, and what it dropped told."""
    from waybill.bundle.direct import SourceCargo

    with console.progress("read", 0) as advance:
        cargo = SourceCargo.plan(
            wanted.source,
            wanted.repo,
            allow_pickle=wanted.allow_pickle,
            choice=wanted.choice,
            signer=signer,
            look=look,
            advance=advance,
        )
    for path, why in cargo.selection.dropped.items():
        console.note(f"dropped {path}: {why}")
    return cargo


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, under the keys of a manifest."""
    reach = {_camel(name): getattr(args, flag) for name, flag in zip(REACH, FLAGS, strict=True)}
    return {
        "source": args.source,
        "as": args.repo,
        "include": args.include,
        "exclude": args.exclude,
        "allowPickle": args.allow_pickle,
        **reach,
    }


def _manifest(args: argparse.Namespace) -> dict[str, Any]:
    """The files that it names are read for whoever wrote it, so they are confined as sources are.

    Those that the command line names are not: whoever runs the command has chosen them.
    """
    said, roots = dict(imports.load(args.manifest)), roots_of(args)
    if args.source and args.source != said["source"]:
        said = _for_another(said, args.source)
    for key in said.keys() & imports.PATHS:
        roots.check(Path(said[key]))
    return said


def _for_another(said: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Without how its own source is reached: its credentials are not for another one.

    Digests of http(s) files hold wherever such a file comes from.
    """
    own = {"secret", *map(_camel, REACH)}
    if source.lower().startswith(("http://", "https://")):
        own.remove("sha256")
    return {key: value for key, value in said.items() if key not in own}


def _camel(name: str) -> str:
    return re.sub("-(.)", lambda found: found[1].upper(), name)
