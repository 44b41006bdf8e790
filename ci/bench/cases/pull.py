"""From a hub into a directory, beside the client that others use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ci.bench.cases.measure import Cost, Race, python, shell, waybill
from ci.bench.cases.stage import REPO, hub, model, server
from tests.services import needs

SNAPSHOT = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], endpoint=sys.argv[2], local_dir=sys.argv[3])
"""


def race(folder: Path, size: int, files: int, rounds: int) -> Race:
    source = model(folder / "model", size, files)
    with server(folder / "minio") as there:
        url, *reach = there.store()
        waybill("sideload", source, "--as", REPO, "--to", url, *reach)
        shell('rm -r "$1"', source)
        with hub(url, there.minio, folder) as address:
            ways = _ways(folder / "out", address, url, reach)
            goal = "as fast as huggingface_hub, and checked"
            return Race("from a hub to files", goal, size, ways).run(rounds)


def _ways(out: Path, address: str, url: str, reach: list[str]) -> dict[str, Callable[[], Cost]]:
    bucket = url.removeprefix("s3://")
    ways: dict[str, Callable[[], Cost]] = {
        "waybill pull --hub": lambda: waybill("pull", REPO, "--hub", address, "--out", out),
        "waybill pull --from the store": lambda: waybill(
            "pull", REPO, "--from", url, *reach, "--out", out
        ),
        "huggingface_hub, unverified": lambda: python(SNAPSHOT, REPO, address, out),
        "mc mirror of the store, unverified": lambda: shell(
            '"$1" mirror --quiet "bench/$2" "$3"', needs("WAYBILL_BENCH_MC"), bucket, out
        ),
    }

    def into_nothing(way: Callable[[], Cost]) -> Callable[[], Cost]:
        def run() -> Cost:
            cost = way()
            shell('rm -r "$1"', out)
            return cost

        return run

    return {name: into_nothing(way) for name, way in ways.items()}
