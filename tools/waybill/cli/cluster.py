"""Commands that prepare a cluster: `secrets`, and `provision`, which Jobs run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from waybill.cli import realm
from waybill.cli.arguments import Commands
from waybill.cli.install import add_release, release_of
from waybill.cli.output import Console, Report, counted
from waybill.deliver.cluster import Cluster
from waybill.deliver.secrets import Plan, make_missing
from waybill.errors import BadValue, Unreadable
from waybill.store.connect import check_endpoint, split


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "secrets",
        help="make the Secrets of an environment that are missing, and change none",
        description="Name an environment; or, as the chart's hook does, a plan and a namespace.",
    )
    add_release(parser, nargs="?")
    parser.add_argument(
        "--plan", metavar="FILE", help="which Secrets, as the chart says it; - is stdin"
    )
    parser.add_argument("--namespace", help="where the Secrets of the plan belong")
    parser.add_argument(
        "--context", help="kubeconfig context (default: this pod's, or the current)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be made")
    parser.set_defaults(run=_secrets)

    provision = commands.add_parser("provision", help="set up a server that the chart brought")
    what = provision.add_subparsers(metavar="ACTION", required=True, dest="action")
    store = what.add_parser("object-store", help="bucket, users and policies in MinIO")
    store.add_argument("store", metavar="s3://BUCKET/PREFIX", help="the place of the store to come")
    store.add_argument("--endpoint", required=True, help="URL of the MinIO server")
    store.add_argument(
        "--credentials",
        required=True,
        type=Path,
        metavar="DIR",
        help="folders root, hub, sideload, promote and prune, each with a file for "
        "AWS_ACCESS_KEY_ID and one for AWS_SECRET_ACCESS_KEY",
    )
    store.add_argument(
        "--wait", type=float, default=300, metavar="SECONDS", help="for the server (default: 300)"
    )
    store.set_defaults(run=_object_store)
    realm.register(what)


def _secrets(args: argparse.Namespace, console: Console) -> Report:
    plan, cluster = _planned(args)
    console.note(f"looking at the Secrets in {cluster.namespace} ...")
    outcome = make_missing(plan, cluster, dry_run=args.dry_run)
    would = "would make" if args.dry_run else "made"
    lines = [f"{would} {name}" for name in outcome.made]
    lines.append(f"{counted(len(outcome.kept), 'Secret')} left as they were")
    data = {"made": list(outcome.made), "kept": list(outcome.kept), "dryRun": args.dry_run}
    return Report("\n".join(lines), data)


def _planned(args: argparse.Namespace) -> tuple[Plan, Cluster]:
    if args.environment and not (args.plan or args.namespace or args.context):
        release = release_of(args)[1]
        return Plan.of(release), Cluster(release.namespace, release.context)
    if args.plan and args.namespace and not args.environment:
        return _read(args), Cluster(args.namespace, args.context)
    named = args.environment or ""
    why = "give either an environment, or --plan and --namespace"
    if not (named or args.plan or args.namespace):
        why = "name an environment: waybill secrets ENV"
    raise BadValue(what="environment", value=named, why=why)


def _read(args: argparse.Namespace) -> Plan:
    if args.plan == "-":
        return Plan.parse(sys.stdin.read(), "stdin")
    try:
        return Plan.parse(Path(args.plan).read_text(), args.plan)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Unreadable(path=args.plan, why=why) from error


def _object_store(args: argparse.Namespace, console: Console) -> Report:
    from waybill.deliver.provision_objectstore import ROOT, USERS, Keys, ObjectStore

    parts = split("store", args.store)
    if parts.scheme != "s3" or not parts.netloc:
        raise BadValue(what="store", value=args.store, why="it must be s3://bucket/prefix")
    endpoint = check_endpoint("endpoint", args.endpoint) or ""
    keys = {user: Keys.read(args.credentials / user) for user in (ROOT, *USERS)}
    server = ObjectStore(endpoint, parts.netloc, parts.path.strip("/"), keys.pop(ROOT))
    console.note(f"setting up {server.url} at {endpoint} ...")
    done = server.provision(keys, args.wait)
    text = f"{server.url} has {counted(len(keys), 'user')}: {', '.join(keys)}"
    if done.removed:
        text += f"; removed: {', '.join(done.removed)}"
    data = {"url": server.url, "madeBucket": done.made_bucket, "users": list(keys)}
    return Report(text, {**data, "removed": list(done.removed)})
