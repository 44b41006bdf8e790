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


Telling = Callable[[BaseException | None], Texts]
"""What is to be told: of an error, or, without one, of an end as it should be."""


class Unfinished(Exception):
    """What is told as long as nothing else is: whoever is killed leaves no good report."""

    def __str__(self) -> str:
        return "it has not ended"


class Ending:
    """What is told of a command when it ends."""

    def __init__(self, args: argparse.Namespace, texts: Telling) -> None:
        self._args = args
        self.tell(texts)

    def tell(self, texts: Telling) -> None:
        """This, from here on. Raises BadFile where it could not be written at the end, either."""
        self.texts = texts
        _write_files(self._args, texts(Unfinished()))


@contextmanager
def ending(args: argparse.Namespace, console: Console, texts: Telling) -> Iterator[Ending]:
    """Write what `add_files` arguments ask for when this ends, well or with an error; before it,
    too, for what cannot be written shall move nothing.

    Raises BadFile, BadValue.
    """
    if args.github_step_summary:
        _summary()
    end = Ending(args, texts)
    try:
        yield end
    except BaseException as error:
        _write_late(args, console, end.texts(error))
        raise
    _write_late(args, console, end.texts(None))


def _write_late(args: argparse.Namespace, console: Console, texts: Texts) -> None:
    """What was done is done, and has to be told, whatever becomes of the reports by now."""
    try:
        _write_files(args, texts)
        if args.github_step_summary:
            _add(_summary(), texts.markdown)
    except (BadFile, BadValue) as error:
        console.note(f"warning: {error}")


def _add(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error


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
    if isinstance(error, WaybillError | Unfinished):
        return str(error)
    return str(Interrupted()) if isinstance(error, KeyboardInterrupt) else repr(error)
