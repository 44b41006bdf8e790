"""`waybill provision realm`: a Keycloak realm from its file; a Job of the chart runs it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from waybill.cli.arguments import Commands
from waybill.cli.output import Console, Report, counted
from waybill.deliver.keycloak import Administrator, Keycloak
from waybill.deliver.realm import Changes, load, provision
from waybill.errors import BadValue
from waybill.store.connect import check_endpoint

USER, PASSWORD = "KC_BOOTSTRAP_ADMIN_USERNAME", "KC_BOOTSTRAP_ADMIN_PASSWORD"


def register(what: Commands) -> None:
    parser = what.add_parser(
        "realm",
        help="roles, groups, scopes and clients in Keycloak",
        description="Make a realm in Keycloak, or bring it to what its file says; whatever else is "
        f"in the realm stays. Signs in with {USER} and {PASSWORD}, as Keycloak itself has them.",
    )
    parser.add_argument(
        "--config",
        required=True,
        type=Path,
        metavar="FILE",
        help="the realm as JSON in Keycloak's form; ${NAME} is taken from the environment",
    )
    parser.add_argument("--url", required=True, help="URL of Keycloak, without /realms")
    parser.add_argument(
        "--wait", type=float, default=900, metavar="SECONDS", help="for Keycloak (default: 900)"
    )
    parser.set_defaults(run=_realm)


def _realm(args: argparse.Namespace, console: Console) -> Report:
    url = check_endpoint("url", args.url) or ""
    realm = load(args.config, os.environ)
    admin = Administrator(*(_variable(name) for name in (USER, PASSWORD)))
    console.note(f"bringing the realm {realm['realm']} at {url} to what {args.config} says ...")
    with Keycloak(url, admin) as keycloak:
        done = provision(keycloak, realm, args.wait, console.note)
    data = {"realm": realm["realm"], "made": done.made, "changed": done.changed, "kept": done.kept}
    return Report(_told(done), data)


def _told(done: Changes) -> str:
    lines = [f"made {what}" for what in done.made] + [f"changed {what}" for what in done.changed]
    return "\n".join([*lines, f"{counted(done.kept, 'part')} of the realm as they should be"])


def _variable(name: str) -> str:
    if value := os.environ.get(name):
        return value
    raise BadValue(what="environment variable", value=name, why="it is not set")
