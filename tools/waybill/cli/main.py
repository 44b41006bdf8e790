"""`waybill`: parses, runs one command, prints its report or its error, picks the exit code."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from waybill import __version__
from waybill.cli.output import Console, enveloped
from waybill.errors import Interrupted, WaybillError

DESCRIPTION = "Carry open-weight models across the air gap and through dev, test and prod."
MODULES = {
    "store": ("store", "inventory", "pull"),
    "sync": ("sync",),
    "prune": ("prune",),
    "pack": ("pack",),
    "sign": ("sign",),
    "bundle": ("inspect", "verify"),
    "sideload": ("sideload",),
    "deploy": ("deploy",),
    "set": ("set",),
    "attest": ("attest",),
    "evidence": ("evidence",),
    "hub": ("hub",),
    "release": ("pin", "status", "history"),
    "rollback": ("rollback",),
    "plan": ("plan", "approve"),
    "promote": ("promote", "apply"),
    "hold": ("hold",),
    "cluster": ("secrets", "provision"),
    "install": ("install", "render", "doctor"),
    "images": ("images",),
    "package": ("package",),
    "watch": ("watch",),
    "drift": ("drift",),
    "compose": ("compose",),
}
"""Module of this package -> the commands that it registers, in the order of the help.

One command imports its own module alone: all of them together take a third of a second.
"""


class _Command(argparse.ArgumentParser):
    """A subcommand: takes the common options, too; behind `--`, what the user wants to have run.

    argparse alone would give a positional that may be empty nothing, as soon as an option stands
    between it and the first one.
    """

    def parse_known_args(  # type: ignore[override] # typeshed's overloads say the same twice
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        behind: list[str] = []
        if self.get_default("behind") is not None and "--" in args:
            at = list(args).index("--")
            args, behind = args[:at], list(args[at + 1 :])
        found, unknown = super().parse_known_args(args, namespace)
        if behind:
            found.behind = behind
        return found, unknown

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.add_argument("--json", action="store_true", help="one JSON object on stdout")
        self.add_argument("--quiet", action="store_true", help="no progress, no notes")
        self.add_argument(
            "--project",
            default=os.environ.get("WAYBILL_PROJECT", "."),
            metavar="DIR",
            help="directory that holds values/environments.yaml (default: here)",
        )


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """With that command and those of its module; else, or when there is no such, with all.

    The reference in tools/docs/cli.md is generated from it.
    """
    root = argparse.ArgumentParser(prog="waybill", description=DESCRIPTION)
    root.add_argument("--version", action="version", version=f"waybill {__version__}")
    commands = root.add_subparsers(
        metavar="COMMAND", required=True, dest="command", parser_class=_Command
    )
    wanted = [module for module, names in MODULES.items() if command in names]
    for module in wanted or MODULES:
        import_module(f"waybill.cli.{module}").register(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of `waybill.errors`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may be in no encoding of this terminal.
            stream.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    args = parser(argv[0] if argv else None).parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(as_json=args.json, quiet=args.quiet)
    try:
        report = args.run(args, console)
    except WaybillError as error:
        return _fail(args, error)
    except KeyboardInterrupt:
        return _fail(args, Interrupted())
    try:
        console.show(args, report)
        sys.stdout.flush()
    except OSError as error:
        # The reader of our output has gone, or its disk is full; the work is done.
        if not isinstance(error, BrokenPipeError):
            print(f"error: the result cannot be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(report.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _fail(args: argparse.Namespace, error: WaybillError) -> int:
    advice = error.advice
    if args.json:
        facts = {"code": type(error).__name__, "message": str(error), "hint": advice}
        facts |= error.details
        print(enveloped(args, error=facts))
    print(f"error: {error}", file=sys.stderr)
    if advice:
        print(f"hint: {advice}", file=sys.stderr)
    return error.exit_code
