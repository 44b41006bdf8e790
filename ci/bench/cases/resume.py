"""A sideload that is killed half-way, and run again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from ci.bench.cases.measure import Cost, Race, waybill
from ci.bench.cases.stage import REPO, Server, model, server
from tests.faults import faulty


def race(folder: Path, size: int, rounds: int) -> Race:
    source = model(folder / "model", size)
    waybill("pack", source, "--as", REPO, "--out", folder / "bundle")
    with server(folder / "minio") as there:
        ways = {
            "whole": lambda: _whole(there, folder / "bundle"),
            "the rest, after kill -9 at 50 %": lambda: _rest(there, folder / "bundle", size),
        }
        return Race("resume", "0.55 of the whole time", size, ways).run(rounds)


def _whole(there: Server, bundle: Path) -> Cost:
    where = there.store()
    cost = waybill("sideload", bundle, "--to", *where)
    there.drop(where[0].removeprefix("s3://"))
    return cost


def _rest(there: Server, bundle: Path, size: int) -> Cost:
    where = there.store()
    with faulty(there.minio.endpoint) as wire:
        command = [sys.executable, "-m", "waybill", "sideload", str(bundle), "--to", where[0]]
        first = subprocess.Popen([*command, "--endpoint", wire.endpoint, "--quiet"])
        while first.poll() is None and wire.sent < size / 2:
            time.sleep(0.005)
        first.kill()
        first.wait()
    cost = waybill("sideload", bundle, "--to", *where)
    there.drop(where[0].removeprefix("s3://"))
    return cost
