"""What a command gives back, and how people and machines see it."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from waybill.store.base import Advance

if TYPE_CHECKING:
    from tqdm import tqdm

DENIED, CHANGES = 3, 5
"""Exit codes of commands that have done what they were asked, and found this."""
_EVERY = 30.0
"""Seconds between two lines of progress where no terminal shows a bar."""


@dataclass(frozen=True)
class Report:
    """The result of a command: `data` for `--json`, `text` for people."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0


class Console:
    """Human words go to stderr, the result to stdout; bars only on a terminal, elsewhere lines.

    What stores say while they wait (logger `waybill.store`) are such words, too.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json, self._quiet = as_json, quiet
        self._bar: tqdm[NoReturn] | None = None
        logging.getLogger("waybill.store").handlers = [_Notes(self.note)]

    def note(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            # Above the bar, not into it.
            self._bar.write(text, file=sys.stderr)

    def confirm(self, question: str) -> bool:
        """Whether a person says yes; where none can be asked, the command was the answer."""
        if not sys.stdin.isatty():
            return True
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Over `total` bytes, 0 if unknown; yields the function to call with each further count."""
        if not sys.stderr.isatty():
            yield _Lines(label, total, self.note)
            return
        # Bars alone need it, and it takes 50 ms.
        from tqdm import tqdm

        with tqdm(
            total=total, desc=label, unit="B", unit_scale=True, disable=self._quiet, leave=False
        ) as bar:

            def advance(count: int) -> None:
                bar.update(count)

            self._bar = bar
            try:
                yield advance
            finally:
                self._bar = None

    def show(self, of: argparse.Namespace, report: Report) -> None:
        if self._json:
            print(enveloped(of, result=report.data), flush=True)
        elif report.text:
            print(report.text, flush=True)


def enveloped(of: argparse.Namespace, **told: object) -> str:
    """The JSON of a result or an error, which says of what command it is, as cli/schema has it."""
    action = {"action": of.action} if "action" in of else {}
    return json.dumps({"schemaVersion": 1, "command": of.command, **action, **told})


class _Notes(logging.Handler):
    """Hands on what is logged."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(record.getMessage())


class _Lines:
    """Now and then a line, so that the log of a Job shows that it goes on. Threads may share it."""

    def __init__(self, label: str, total: int, note: Callable[[str], None]) -> None:
        self._label, self._note = label, note
        self._of = f" of {human(total)}" if total else ""
        self._done, self._next = 0, time.monotonic() + _EVERY
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self._lock:
            self._done += count
            if (now := time.monotonic()) >= self._next:
                self._next = now + _EVERY
                self._note(f"{self._label}: {human(self._done)}{self._of}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    lines = [[printable(cell) for cell in line] for line in (head, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def counted(count: int, noun: str) -> str:
    """`1 part`, `2 parts`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def about(what: str, error: Exception) -> str:
    """The error of something, whose name is not said twice."""
    return str(error) if str(error).startswith(what) else f"{what}: {error}"


def printable(text: str) -> str:
    """What a file or a person named, without what could move a terminal's cursor."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def plain(text: str) -> str:
    """Text of others that must not become markup, nor turn what stands around it."""
    return re.sub(r"([\\`*_\[\]<>|#!@])", r"\\\1", printable(" ".join(text.split())))


def human(size: int) -> str:
    """Bytes as people read them, decimal as on the media's label."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if round(value, 1) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
