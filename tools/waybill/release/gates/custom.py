"""Gates of the site's own: a command that gets the plan as JSON and says its verdict as JSON.

stdin   {"schemaVersion": 1, "gate": …, "digest": …, "plan": …}
stdout  {"result": "pass" | "fail" | "skip", "reason": …}
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

from waybill.deliver.redaction import redacted
from waybill.errors import GateBroken
from waybill.manifest import from_json
from waybill.release.gates.case import Case, Finding, Result
from waybill.release.policy import Command
from waybill.sign.keys import without_passphrase

_SHOWN = 300
"""Characters of what a command says that people are shown."""


def run(case: Case, name: str, command: Command) -> Finding:
    """Raises GateBroken when the command fails, takes too long, or says something else."""
    said = {"schemaVersion": 1, "gate": name, "digest": case.digest, "plan": case.document}
    answer = _answer(case, name, command, json.dumps(said))
    try:
        value = from_json(answer)
        result, reason = Result(value["result"]), " ".join(value["reason"].split())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(name, command, f"it printed {_shown(answer)!r} ({error})") from error
    if result is Result.ERROR:
        raise _broken(name, command, _shown(reason))
    return Finding(result, _shown(reason), case.rule("gates", name))


def _answer(case: Case, name: str, command: Command, said: str) -> str:
    pipe: Any = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command.words,
            cwd=case.project,
            env=without_passphrase(os.environ),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise _broken(name, command, error.strerror or str(error)) from error
    with process:
        try:
            out, complaint = process.communicate(said, timeout=command.timeout.total_seconds())
        except subprocess.TimeoutExpired as error:
            why = f"it took longer than {int(command.timeout.total_seconds())} s"
            raise _broken(name, command, why) from error
        finally:
            _end(process)
    if process.returncode:
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        raise _broken(name, command, f"exit code {process.returncode}: {_shown(last[0])}")
    return out


def _end(process: subprocess.Popen[str]) -> None:
    """Kill what still runs of it, and of all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _shown(text: str) -> str:
    """What goes into plans, comments and logs."""
    return redacted(text)[:_SHOWN]


def _broken(name: str, command: Command, why: str) -> GateBroken:
    return GateBroken(gate=name, command=command.words[0], why=why)
