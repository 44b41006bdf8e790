"""`waybill` as processes that begin at once: forked from one that has imported everything.

Pieces are 5 MiB in them, the smallest part that S3 takes, so that small models have several; and
the pauses between two tries are short.
"""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType

PIECE = 5 << 20
PART_SIZE = 2 * PIECE + 1_000_000
NOTHING: Mapping[str, str] = MappingProxyType({})
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["pytest", "waybill.__main__", "waybill.cli.main", __name__])


@dataclass(frozen=True)
class Trouble:
    """What is wrong on the machine of a command: its clock, and how large a file may become.

    `answer`: after so many seconds it gives up waiting for an answer, where that is not usual.
    """

    ahead: float = 0.0
    limit: int | None = None
    answer: float | None = None


def _run(words: tuple[str, ...], folder: Path, env: Mapping[str, str], trouble: Trouble) -> None:
    from waybill.store import s3

    os.environ.update(env)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    _quick()
    if trouble.ahead:
        _clock(trouble.ahead)
    if trouble.answer:
        s3._ANSWER = trouble.answer
    if trouble.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.limit,) * 2)
    sys.argv = ["waybill", *words]
    from waybill.__main__ import run

    run()


def _quick() -> None:
    from waybill import digest
    from waybill.bundle import cut, lanes, writer
    from waybill.bundle.format import SCHEMA
    from waybill.store import s3_copy, s3_patience, s3_upload

    for module in (digest, cut, lanes, writer, s3_copy, s3_upload):
        vars(module)["PIECE"] = PIECE
    cut.SMALLEST = PIECE
    s3_patience._FIRST = 0.05
    SCHEMA["properties"]["partSize"]["minimum"] = PIECE


def _clock(ahead: float) -> None:
    """This process believes that it is `ahead` seconds later: it signs and dates by that."""
    import datetime
    from types import SimpleNamespace
    from typing import Any

    from botocore import compat

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) + datetime.timedelta(seconds=ahead)

    # All signers, those in C as well, ask one function of this module.
    vars(compat)["datetime"] = SimpleNamespace(**{**vars(datetime), "datetime": Shifted})
    true = time.time
    time.time = lambda: true() + ahead


NO_TROUBLE = Trouble()


@dataclass
class Command:
    """A command under way, in a folder for what it says."""

    process: BaseProcess
    folder: Path
    began: float = field(default_factory=time.monotonic)

    def end(self, seconds: float = 120) -> int:
        """Its exit code."""
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, f"still at work after {seconds} s"
        return code

    def kill_after(self, seconds: float) -> bool:
        """Whether SIGKILL came in the middle of it."""
        self.process.join(max(0.0, self.began + seconds - time.monotonic()))
        self.process.kill()
        return self.end() < 0

    @property
    def said(self) -> str:
        return (self.folder / "err").read_text()

    @property
    def told(self) -> str:
        return (self.folder / "out").read_text()


@dataclass(frozen=True)
class Starter:
    """Starts commands with some words in common."""

    folder: Path
    env: Mapping[str, str]

    def start(
        self, *words: object, trouble: Trouble = NO_TROUBLE, env: Mapping[str, str] = NOTHING
    ) -> Command:
        folder = self.folder / f"{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        given = (tuple(map(str, words)), folder, {**self.env, **env}, trouble)
        process = FORK.Process(target=_run, args=given)
        process.start()
        return Command(process, folder)

    def run(self, *words: object, code: int = 0, trouble: Trouble = NO_TROUBLE) -> Command:
        """To its end."""
        command = self.start(*words, trouble=trouble)
        assert command.end() == code, command.said
        return command
