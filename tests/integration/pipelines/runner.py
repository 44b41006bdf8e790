"""What all forges have in common: jobs that run one after the other, each in a new checkout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SECRETS = {
    "signing": (
        "WAYBILL_SIGNING_KEY",
        "WAYBILL_KEY_PASSPHRASE",
        "WAYBILL_READING_CREDENTIALS",
    ),
    "reading": ("WAYBILL_READING_CREDENTIALS",),
    "dev": ("WAYBILL_CREDENTIALS", "WAYBILL_EVIDENCE_KEY"),
    "test": ("WAYBILL_CREDENTIALS", "WAYBILL_EVIDENCE_KEY"),
    "prod": ("WAYBILL_CREDENTIALS", "WAYBILL_EVIDENCE_KEY", "WAYBILL_APPROVAL_KEY"),
}
"""Which secrets a site lends to which protected environment, as the guide says."""


@dataclass(frozen=True)
class Step:
    """A script; or, where it has none, `keep` or `fetch`: the folder out/, from job to job."""

    script: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    does: str = "run"


@dataclass(frozen=True)
class Job:
    """`checkout`: the branch of the change, or that of all pins."""

    name: str
    steps: tuple[Step, ...]
    checkout: str = "main"


class Forge(Protocol):
    """A sample's pipelines as jobs."""

    @property
    def shell(self) -> tuple[str, ...]:
        """How it starts a script."""

    def changed(self, base: str) -> Iterator[Job]:
        """For the change on the branch `change`, which began at that commit."""

    def merged(self, before: str) -> Iterator[Job]:
        """For what main has got since that commit."""

    def promoted(self, source: str, target: str) -> Iterator[Job]:
        """For what a person starts, and another one approves."""

    def replayed(self, target: str, promotion: str) -> Iterator[Job]:
        """For what has come across the gap."""


@dataclass(frozen=True)
class Outcome:
    """The exit code of a run, and all that it has said."""

    code: int
    said: str


@dataclass(frozen=True)
class Runner:
    """A machine that jobs run on. `env`: what is set on it, for every job."""

    origin: Path
    folder: Path
    env: Mapping[str, str]

    @property
    def kept(self) -> Path:
        """What jobs hand on to each other, and people look at."""
        return self.folder / "kept"

    def run(self, jobs: Iterable[Job], shell: tuple[str, ...]) -> Outcome:
        """Until a job fails, as forges do."""
        said = ""
        for job in jobs:
            code, told = self._job(job, shell)
            said += f"--- {job.name}\n{told}"
            if code:
                return Outcome(code, said)
        return Outcome(0, said)

    def _job(self, job: Job, shell: tuple[str, ...]) -> tuple[int, str]:
        place, said = self.checkout(job), ""
        for step in job.steps:
            if step.does != "run":
                self._pass(place, step.does)
                continue
            code, told = self._script(place, step, shell)
            said += f"$ {step.script}\n{told}"
            if code:
                return code, said
        return 0, said

    def checkout(self, job: Job) -> Path:
        place = self.folder / f"checkout-{job.name}"
        shutil.rmtree(place, ignore_errors=True)
        _git("clone", "--quiet", str(self.origin), str(place))
        _git("-C", str(place), "checkout", "--quiet", "--detach", f"origin/{job.checkout}")
        return place

    def _script(self, place: Path, step: Step, shell: tuple[str, ...]) -> tuple[int, str]:
        done = subprocess.run(
            [*shell, "-c", step.script],
            cwd=place,
            env={**_clean(), **self.env, **step.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        return done.returncode, done.stdout

    def _pass(self, place: Path, does: str) -> None:
        inside = place / "out"
        source, target = (inside, self.kept) if does == "keep" else (self.kept, inside)
        shutil.copytree(source, target, dirs_exist_ok=True)


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, env=_clean())


def _clean() -> dict[str, str]:
    """Nothing of whoever runs the tests; no command of the project but the installed one."""
    ours = str(Path(sys.executable).parent)
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if each != ours]
    return {"PATH": os.pathsep.join(folders), "LANG": "C.UTF-8"}
