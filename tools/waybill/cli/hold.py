"""`waybill hold release`: let promotions move a model again that somebody rolled back."""

from __future__ import annotations

import argparse

from waybill.cli import arguments
from waybill.cli.arguments import Commands
from waybill.cli.output import Console, Report
from waybill.deliver.environments import Environments
from waybill.release import hold


def register(commands: Commands) -> None:
    parent = commands.add_parser("hold", help="what keeps a model as it is, put on by a rollback")
    nested = parent.add_subparsers(metavar="ACTION", dest="action", required=True)
    parser = nested.add_parser("release", help="let promotions move the model again")
    parser.add_argument("environment", metavar="ENV", help="name of the environment")
    parser.add_argument("model", metavar="MODEL", help="key of the model in the values files")
    arguments.add_reason(parser)
    arguments.add_single_writer(parser)
    parser.set_defaults(run=_release)


def _release(args: argparse.Namespace, _: Console) -> Report:
    environment = Environments.load(arguments.project(args))[args.environment]
    held = hold.release(
        environment, args.model, by=args.by, why=args.why, single_writer=args.single_writer
    )
    text = f"{args.model} in {environment.name} is free again: {held.by} held it since {held.at}"
    facts = {"by": held.by, "since": held.at, "why": held.why, "commit": held.commit}
    return Report(text, {"environment": environment.name, "model": args.model, "held": facts})
