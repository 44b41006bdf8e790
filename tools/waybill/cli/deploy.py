"""`waybill deploy`: a model from its source into an environment."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from waybill.bundle.sideload import Decision
from waybill.cli.arguments import (
    Commands,
    add_reason,
    add_sending,
    add_single_writer,
    open_store,
    paced,
    policy_of,
    project,
)
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import Console, Report, counted, human
from waybill.cli.sources import FORMS, add_source, read, said_of, source_of
from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.release import deploy
from waybill.release.deploy import Deployment
from waybill.store.layout import Ref, RepoId


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "deploy",
        help="bring a model from its source into an environment: store, values and pins",
        description="Load a model from its source into an environment's store, enable it in the "
        "values file, and pin it. `waybill install ENV` then rolls it out.",
    )
    parser.add_argument("model", metavar="MODEL", help="key of the model in the values file")
    parser.add_argument("--env", required=True, metavar="ENV", help="name of the environment")
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help=f"where it comes from, kept in the values file: {FORMS} (default: as kept there)",
    )
    parser.add_argument(
        "--source-override",
        metavar="SOURCE",
        help="take it from here this time, and keep in the values file what it says",
    )
    parser.add_argument(
        "--hardware", metavar="PROFILE", help="the entry of global.profiles that it runs on"
    )
    add_source(parser)
    add_key(parser)
    add_sending(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would change, no more")
    add_reason(parser)
    add_single_writer(parser)
    parser.set_defaults(run=_deploy, store=None, trust=None)
    parser.set_defaults(**dict.fromkeys(("endpoint", "profile", "ca_bundle")))


def _deploy(args: argparse.Namespace, console: Console) -> Report:
    environment = Environments.load(project(args))[args.env]
    # The store is the environment's, reached as `open_store` reaches it.
    args.store, said = args.env, said_of(args)["source"] if args.manifest else args.source
    kept = deploy.lasting(said, Path()) if said else None
    given = args.source_override or kept
    args.source = deploy.source_of(environment, args.model, given, project(args))
    planned = _plan(args, console, environment, kept)
    loading, done = planned.loading, None
    if not args.dry_run:
        with console.progress("deploy", loading.size) as advance:
            done = planned.run(paced(args, advance))
    (revision,) = loading.cargo.revisions
    data = {
        "environment": environment.name,
        "model": args.model,
        "repo": str(revision.repo),
        "commit": revision.manifest.commit,
        "bytes": loading.size,
        "blobs": len(loading.missing),
        "values": str(environment.values_path) if planned.changes_values or done else None,
        "dryRun": args.dry_run,
    }
    sent = f"{counted(len(loading.missing), 'blob')} ({human(loading.size)})"
    name = f"{revision.repo} at {revision.manifest.commit}"
    if done is None:
        what = f"send {sent} and pin {args.model} in {args.env} to {name}"
        edits = f"; it would edit {environment.values_path}" if planned.changes_values else ""
        return Report(f"would {what}{edits}", data)
    text = f"{args.model} in {args.env} is {name}: sent {sent}\nnext: waybill install {args.env}"
    return Report(text, data)


def _pinned(environment: Environment, model: str, said: str | None) -> RepoId | None:
    """The repo that the model has already, for a source that does not say one."""
    pin = None if said else pins.load(environment.pins_path).models.get(model)
    return RepoId.parse(pin.stable.repo) if pin else None


def _plan(
    args: argparse.Namespace, console: Console, environment: Environment, kept: str | None
) -> Deployment:
    signer, wanted = signer_of(args, console), source_of(args)
    if not wanted.repo:
        said = wanted.source.origin.repo
        wanted = replace(wanted, repo=_pinned(environment, args.model, said))
    cargo, store = read(wanted, console, signer), open_store(args)
    if not (kept or args.source_override or args.include or args.exclude):
        deploy.check_choice(environment, store, args.model, cargo.revision)
    entry: dict[str, Any] = {"enabled": True}
    entry |= {"source": kept} if kept else {}
    entry |= {"profile": args.hardware} if args.hardware else {}
    decision = Decision((Ref("heads", "main"),), args.by, args.why or f"deployed to {args.env}")
    return Deployment.plan(
        environment,
        store,
        args.model,
        cargo,
        entry,
        decision,
        policy_of(args),
        single_writer=args.single_writer,
    )
