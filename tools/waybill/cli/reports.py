"""What commands tell besides their result: a report, test cases, the texts of a change."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from waybill.cli.change import Change
from waybill.cli.output import Console
from waybill.deliver import values
from waybill.errors import BadFile, BadValue, Interrupted, WaybillError

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file that GitHub shows of a run."""


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """`what` become test cases."""
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a report, as a comment on a change"
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help=f"write {what} as test cases (JUnit XML)"
    )
    parser.add_argument(
        "--github-step-summary",
        action="store_true",
        help=f"add the report to the file that {SUMMARY} names",
    )


@dataclass(frozen=True)
class Texts:
    """What can be left. `change`: only where a command makes one."""

    markdown: str
    junit: str
    change: Change | None = None


def write(args: argparse.Namespace, texts: Texts) -> None:
    """What `add_files` arguments ask for, and the change. Raises BadFile, BadValue."""
    _write_files(args, texts)
    if args.github_step_summary:
        path = _summary()
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(texts.markdown)
        except OSError as error:
            raise BadFile(path=path, why=error.strerror or str(error)) from error


@contextmanager
def ending(
    args: argparse.Namespace, console: Console, texts: Callable[[BaseException | None], Texts]
) -> Iterator[None]:
    """Write them when this ends, well or with an error; before it, too, for what cannot be written
    shall move nothing.

    Raises BadFile, BadValue.
    """
    if args.github_step_summary:
        _summary()
    _write_files(args, texts(None))
    try:
        yield
    except BaseException as error:
        write_late(args, console, texts(error))
        raise
    write_late(args, console, texts(None))


def write_late(args: argparse.Namespace, console: Console, texts: Texts) -> None:
    """What was done is done, and has to be told, whatever becomes of the reports by now."""
    try:
        write(args, texts)
    except (BadFile, BadValue) as error:
        console.note(f"warning: {error}")


def _write_files(args: argparse.Namespace, texts: Texts) -> None:
    if args.markdown:
        values.write(args.markdown, texts.markdown)
    if args.junit:
        values.write(args.junit, texts.junit)
    if texts.change and args.pull_request:
        texts.change.write(args.pull_request)


def _summary() -> Path:
    if path := os.environ.get(SUMMARY):
        return Path(path)
    why = f"{SUMMARY} names no file: this is no run of GitHub Actions"
    raise BadValue(what="--github-step-summary", value="", why=why)


def why_ended(error: BaseException) -> str:
    if isinstance(error, WaybillError):
        return str(error)
    return str(Interrupted()) if isinstance(error, KeyboardInterrupt) else repr(error)
