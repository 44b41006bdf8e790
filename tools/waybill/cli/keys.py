"""The key that a command signs with."""

from __future__ import annotations

import argparse
from pathlib import Path

from waybill.cli.output import Console
from waybill.errors import BadValue
from waybill.sign.keys import PASSPHRASE, Signer


def add_key(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        required=required,
        help="sign with this private key (PEM, Ed25519 or ECDSA P-256); its passphrase comes from "
        f"{PASSPHRASE}, or the file that {PASSPHRASE}_FILE names",
    )
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="the key's certificate (PEM), and those between it and the CA's after it",
    )


def signer_of(args: argparse.Namespace, console: Console) -> Signer | None:
    """What `add_key` arguments name. Raises BadKey."""
    if args.key is None:
        if args.certificate:
            why = "a certificate signs nothing without its --key"
            raise BadValue(what="--certificate", value=str(args.certificate), why=why)
        return None
    signer = Signer.load(args.key, args.certificate)
    for note in signer.notes:
        console.note(f"warning: {note}")
    return signer
