"""Packing, beside tar with a digest; and what disk and processors could do at most."""

from __future__ import annotations

import shutil
from pathlib import Path

from ci.bench.cases.measure import Cost, Race, python, shell, waybill
from ci.bench.cases.stage import REPO, model

# Whole processes, for a thread that hashes small pieces would wait for Python's lock.
ALL_CORES = """
import hashlib, multiprocessing, os, pathlib, sys
def one(path):
    sha = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while chunk := stream.read(1 << 20):
            sha.update(chunk)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool() as pool:
        pool.map(one, sorted(pathlib.Path(sys.argv[1]).iterdir()), 1)
"""


def race(folder: Path, size: int, files: int, rounds: int) -> Race:
    source, out = model(folder / "model", size, files), folder / "out"

    def ours() -> Cost:
        shutil.rmtree(out, ignore_errors=True)
        return waybill("pack", source, "--as", REPO, "--out", out)

    def tar(script: str) -> Cost:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        return shell(script, source, out / "model.tar")

    ways = {
        "waybill pack": ours,
        "tar | tee | openssl dgst, then sync": lambda: tar(
            'tar -cf - -C "$1" . | tee "$2" | openssl dgst -sha256; sync "$2"'
        ),
        "tar | openssl dgst, nothing written": lambda: tar(
            'tar -cf - -C "$1" . | openssl dgst -sha256'
        ),
        "the disk: cat, then sync": lambda: tar('cat "$1"/* >"$2"; sync "$2"'),
        "all cores: SHA-256 once": lambda: python(ALL_CORES, source),
    }
    goal = "1.3 times as fast as tar | openssl; within 10 % of the disk, or of all cores"
    return Race("source to bundle", goal, size, ways).run(rounds)
