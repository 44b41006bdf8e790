"""A sideload that is killed half-way, and run again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ci.bench.cases.measure import Cost, Race, waybill
from ci.bench.cases.stage import REPO, Server, model, server, signing
from tests.faults import faulty

Sideload = tuple[object, ...]
"""What is loaded, and under which trust."""


def race(folder: Path, size: int, files: int, rounds: int) -> Race:
    """Of a signed bundle, as customers have them, and of an unsigned one."""
    source = model(folder / "model", size, files)
    signing(folder)
    waybill("pack", source, "--as", REPO, "--out", folder / "signed", "--key", folder / "key")
    waybill("pack", source, "--as", REPO, "--out", folder / "bundle")
    signed: Sideload = (folder / "signed", "--trust", folder / "trust.yaml")
    unsigned: Sideload = (folder / "bundle",)
    with server(folder / "minio") as there:
        ways = {
            "whole, signed and trusted": lambda: _whole(there, signed),
            "its rest, after kill -9 at 50 %": lambda: _rest(there, signed, size),
            "whole, unsigned": lambda: _whole(there, unsigned),
            "the unsigned one's rest": lambda: _rest(there, unsigned, size),
        }
        return Race("resume", "0.55 of the whole time", size, ways).run(rounds)


def _whole(there: Server, what: Sideload) -> Cost:
    where = there.store()
    cost = waybill("sideload", *what, "--to", *where)
    there.drop(where[0].removeprefix("s3://"))
    return cost


def _rest(there: Server, what: Sideload, size: int) -> Cost:
    where = there.store()
    with faulty(there.minio.endpoint) as wire:
        told = [*map(str, what), "--to", where[0], "--endpoint", wire.endpoint, "--quiet"]
        first = subprocess.Popen([sys.executable, "-m", "waybill", "sideload", *told])
        while first.poll() is None and wire.sent < size / 2:
            time.sleep(0.005)
        first.kill()
        first.wait()
    os.sync()  # What the killed one has left to the disk is not of its rest.
    cost = waybill("sideload", *what, "--to", *where)
    there.drop(where[0].removeprefix("s3://"))
    return cost
