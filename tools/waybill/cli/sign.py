"""`waybill sign`: a revision in a store, what is said about it, or a directory that was pulled."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from waybill import __version__
from waybill.bundle.base import digest_of
from waybill.bundle.journal import write_whole
from waybill.cli.arguments import Commands, add_store, open_store
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, counted
from waybill.cli.store import split_revision
from waybill.errors import BadFile, BadValue
from waybill.manifest import Manifest, from_json, statement
from waybill.sign import oms
from waybill.sign.keys import Signer
from waybill.sign.predicates import is_reserved
from waybill.source.base import SourceFile
from waybill.source.directory import DirectorySource
from waybill.store import evidence, layout
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

_URI = re.compile("[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "sign",
        help="sign a revision in a store, or a directory that was pulled",
        description="Sign a revision in a store; without --repo, write model.sig into a directory.",
    )
    add_store(parser, "store", "the store, or the directory")
    parser.add_argument(
        "--repo", metavar="OWNER/NAME[@REVISION]", help="what to sign in the store (default: @main)"
    )
    add_key(parser, required=True)
    parser.add_argument(
        "--statement",
        type=Path,
        metavar="FILE",
        help="say this of the revision, too, and sign it: any JSON, as the results of a test",
    )
    parser.add_argument("--predicate-type", metavar="URI", help="what kind of statement that is")
    parser.set_defaults(run=_sign)


def _sign(args: argparse.Namespace, console: Console) -> Report:
    if bool(args.statement) != bool(args.predicate_type) or (args.statement and not args.repo):
        why = "--statement FILE, --predicate-type URI and --repo go together"
        raise BadValue(what="--statement", value=str(args.statement or ""), why=why)
    if args.statement:
        _check_type(args.predicate_type)
    signer = signer_of(args, console)
    assert signer  # noqa: S101 - the flag is required
    return _sign_revision(args, signer) if args.repo else _sign_directory(args, console, signer)


def _check_type(given: str) -> None:
    why = "it must be a URI of your own, as https://example.com/evaluation/v1"
    if is_reserved(given):
        why = "statements of this kind are made by waybill pack, sign, attest and so on alone"
    elif _URI.fullmatch(given):
        return
    raise BadValue(what="--predicate-type", value=given, why=why)


def _sign_revision(args: argparse.Namespace, signer: Signer) -> Report:
    store = open_store(args)
    repo, revision = split_revision(args.repo)
    manifest = store.manifest(repo, store.resolve(repo, revision))
    if args.statement:
        said = _said(manifest, args.predicate_type, args.statement)
        evidence.add_signed(store, repo, manifest, said, signer)
        what = f"{args.statement} about {repo} at {manifest.commit}"
    else:
        tool = f"waybill {__version__}"
        evidence.sign_provenance(store, repo, manifest, signer, tool)
        what = f"{repo} at {manifest.commit}"
    return _signed(what, store, signer, repo=str(repo), commit=manifest.commit)


def _signed(what: str, store: Store, signer: Signer, **facts: Any) -> Report:
    text = f"{what} is signed in {store.url} by the key {signer.key_id}"
    return Report(text, {**facts, "store": store.url, "keyId": signer.key_id})


def _said(manifest: Manifest, predicate_type: str, path: Path) -> bytes:
    try:
        return statement(manifest, predicate_type, from_json(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(path=path, why=f"it is no JSON ({error})") from error


def _check_directory(named: str, root: Path, files: Sequence[SourceFile]) -> None:
    """Raises BadValue for what `model.sig` says nothing of."""
    links = [file.path for file in files if (root / file.path).is_symlink()]
    if (root / layout.STORE).is_file():
        why = "it is a store: --repo OWNER/NAME@REVISION says what to sign in it"
    elif not files:
        why = "no file is in it: a directory that was pulled is signed, waybill pull --out"
    elif links:
        why = f"{links[0]} is a link, and model_signing reads none: pull into a directory instead"
    else:
        return
    raise BadValue(what="directory", value=named, why=why)


def _sign_directory(args: argparse.Namespace, console: Console, signer: Signer) -> Report:
    source = DirectorySource(Path(args.store))
    if not oms.is_known(signer):
        why = "model_signing knows no Ed25519 keys: use an ECDSA P-256 one for model.sig"
        raise BadValue(what="--key", value=str(args.key), why=why)
    files = [file for file in source.files() if not oms.is_ignored(file.path)]
    _check_directory(args.store, source.root, files)
    with console.progress("sign", sum(file.size for file in files)) as advance:
        stoppable = Stoppable(advance)
        read = partial(digest_of, source, advance=stoppable)
        found = parallel(read, files, 4, stoppable.stop)
    digests = {file.path: digest for file, digest in zip(files, found, strict=True)}
    out = source.root / oms.NAME
    write_whole(out, oms.signature(source.root.name, digests, signer))
    text = f"{counted(len(files), 'file')} are signed in {out} by the key {signer.key_id}"
    return Report(text, {"signature": str(out), "files": len(files), "keyId": signer.key_id})
