"""Attest: the result of a test of a revision, signed and kept beside it in an environment's store.

The revision is decided before the test begins, so that a long test says something about the one
that it has tested, whatever is promoted meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from waybill import digest as digests
from waybill.deliver import pins
from waybill.deliver.environments import Environment
from waybill.deliver.redaction import redacted
from waybill.digest import Digest
from waybill.errors import BadFile, BadValue, CommandNotRun, NotACommit, NoTestReport, UnknownModel
from waybill.manifest import Manifest, statement
from waybill.release import move
from waybill.sign.keys import Signer, without_passphrase
from waybill.sign.predicates import Outcome, Trial
from waybill.store import evidence
from waybill.store.layout import RepoId
from waybill.store.publish import complete
from waybill.store.store import Store

REPORT = 50_000_000
"""Bytes of a JUnit file that is still read."""
SAID = 10_000_000
"""Bytes of a statement: what is larger would be passed over where evidence is read."""


@dataclass(frozen=True)
class Subject:
    """A revision in an environment. `model` is its key in the values files, or empty."""

    environment: Environment
    store: Store
    repo: RepoId
    manifest: Manifest
    model: str

    @property
    def facts(self) -> dict[str, str]:
        """What the test is told, as environment variables."""
        return {
            "WAYBILL_ENVIRONMENT": self.environment.name,
            "WAYBILL_MODEL": self.model,
            "WAYBILL_REPO": str(self.repo),
            "WAYBILL_COMMIT": self.manifest.commit,
            "WAYBILL_DIGEST": self.manifest.descriptor.digest,
        }


def subject(environment: Environment, named: str) -> Subject:
    """Of `MODEL`, what the environment pins; or of `OWNER/NAME@COMMIT`.

    Raises BadValue, UnknownModel, NotACommit, RepoNotFound, RevisionNotFound, BlobMissing.
    """
    held = pins.load(environment.pins_path).models
    store = environment.connect()
    if "/" in named:
        spelled, at, revision = named.partition("@")
        if not at:
            raise BadValue(what="model", value=named, why="it must be MODEL or OWNER/NAME@COMMIT")
        repo = RepoId.parse(spelled)
        commit = store.resolve(repo, revision)
        if not digests.is_commit(revision):
            raise NotACommit(revision=revision, commit=commit)
        known = [model for model, pin in held.items() if commit in pin.revisions]
        return Subject(environment, store, repo, complete(store, repo, commit), "".join(known[:1]))
    if named not in held:
        raise UnknownModel(model=move.check_model(named), environment=environment.name)
    pinned = held[named].stable
    repo = RepoId.parse(pinned.repo)
    return Subject(environment, store, repo, complete(store, repo, pinned.commit), named)


def keep(tested: Subject, trial: Trial, signer: Signer) -> None:
    """Sign the result and keep it with the revision.

    Raises BadValue for a result of too many cases, BlobMissing, BeingPruned.
    """
    said = statement(tested.manifest, Trial.TYPE, trial.as_json())
    if len(said) > SAID:
        why = f"its result has {len(said):,} bytes, and at most {SAID:,} are kept"
        raise BadValue(what="test", value=trial.name, why=why)
    evidence.add_signed(tested.store, tested.repo, tested.manifest, said, signer)


@dataclass(frozen=True)
class Cases:
    """What a JUnit file says, by name of the case; `digest` is the file's, None without one."""

    passed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    digest: Digest | None = None


@dataclass(frozen=True)
class Run:
    """A test command that has ended."""

    command: tuple[str, ...]
    code: int
    seconds: float
    cases: Cases

    @property
    def outcome(self) -> Outcome:
        """It warns where a report names no case that passed: then nothing is known to be good."""
        if self.code or self.cases.failed:
            return Outcome.FAILED
        said_nothing = self.cases.digest and not self.cases.passed
        return Outcome.WARNED if said_nothing else Outcome.PASSED

    @property
    def configuration(self) -> tuple[Mapping[str, Any], ...]:
        """in-toto resource descriptors: the command line without credentials, the report."""
        words = [redacted(word) for word in self.command]
        found: list[Mapping[str, Any]] = [{"name": "command", "annotations": {"words": words}}]
        if report := self.cases.digest:
            found.append({"name": "junit", "digest": {"sha256": digests.hex_of(report)}})
        return tuple(found)


def run(command: Sequence[str], facts: Mapping[str, str], junit: Path | None = None) -> Run:
    """Run a test to its end; what it says goes to stderr. It never sees our key's passphrase.

    Raises CommandNotRun, NoTestReport, BadFile.
    """
    env = without_passphrase(os.environ)
    before = _state(junit)
    began = time.monotonic()
    try:
        ended = subprocess.run(command, env={**env, **facts}, stdout=2, check=False)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandNotRun(command=command[0], why=why) from error
    seconds = round(time.monotonic() - began, 3)
    # As shells have it, for a program that a signal has ended.
    code = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
    cases = _cases(junit) if junit and _state(junit) != before else Cases()
    if junit and cases.digest is None and not code:
        raise NoTestReport(path=junit)
    return Run(tuple(command), code, seconds, cases)


def _state(path: Path | None) -> tuple[int, int, int] | None:
    """Differs when the file was written anew: a report of yesterday is none of today."""
    with suppress(OSError):
        if path:
            stat = path.stat()
            return stat.st_ino, stat.st_mtime_ns, stat.st_size
    return None


def _cases(path: Path) -> Cases:
    try:
        data = path.read_bytes()
        if len(data) > REPORT:
            raise BadFile(path=path, why=f"it has more than {REPORT:,} bytes")
        root = ElementTree.fromstring(data)  # noqa: S314 - of our own test; expat bounds entities
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error
    except ElementTree.ParseError as error:
        raise BadFile(path=path, why=f"it is no JUnit report ({error})") from error
    passed: list[str] = []
    skipped: list[str] = []
    failed: list[str] = []
    for case in root.iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        wrong = case.find("failure") is not None or case.find("error") is not None
        kind = failed if wrong else passed if case.find("skipped") is None else skipped
        kind.append(name)
    return Cases(tuple(passed), tuple(skipped), tuple(failed), digests.of(data))
