"""What the hub adds to an engine's start: a model on disk, pulled first, or loaded by the hub.

Usage: python ci/bench/engine_start.py [--rounds N]

A real vLLM loads all-MiniLM-L6-v2 from a directory; from a directory that `waybill pull` fills just
before, as the chart's init container does; and by HF_ENDPOINT from the hub alone, into an empty
cache. The hub redirects to a MinIO. The ways take turns; each engine ends before the next begins.
WAYBILL_TEST_VLLM, _MODEL and _MINIO name what it needs (`ci/tools vllm model minio`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ci.bench.cases.stage import hub
from tests.services import Minio, minio_server, needs, vllm
from waybill.cli.output import table

REPO = "sentence-transformers/all-MiniLM-L6-v2"


def waybill(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "waybill", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, object] = json.loads(done.stdout).get("result", {})
    return result


def fill(server: Minio, folder: Path) -> str:
    """A store in a bucket with the model in it; its URL."""
    os.environ["AWS_ACCESS_KEY_ID"] = server.access_key
    os.environ["AWS_SECRET_ACCESS_KEY"] = server.secret_key
    client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="models")
    client.close()
    store, where = "s3://models", ("--endpoint", server.endpoint)
    waybill("store", "init", store, *where)
    waybill("pack", needs("WAYBILL_TEST_MODEL"), "--as", REPO, "--out", str(folder / "bundle"))
    waybill("sideload", str(folder / "bundle"), "--to", store, *where)
    return store


def started(model: str, folder: Path, hub: str = "") -> float:
    """Seconds from an engine's start to its first healthy answer."""
    folder.mkdir(parents=True)
    env = {"HF_ENDPOINT": hub, "HF_HUB_DISABLE_TELEMETRY": "1"} if hub else {"HF_HUB_OFFLINE": "1"}
    began = time.monotonic()
    with vllm(model, folder, "--runner", "pooling", env=env):
        return time.monotonic() - began


def measure(url: str, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each way, in turns."""

    def pulled(place: Path) -> float:
        began = time.monotonic()
        waybill("pull", f"{REPO}@main", "--hub", url, "--out", str(place / "model"))
        seconds = time.monotonic() - began
        return seconds + started(str(place / "model"), place / "engine")

    ways: dict[str, Callable[[Path], float]] = {
        "a directory": lambda place: started(needs("WAYBILL_TEST_MODEL"), place),
        "waybill pull, then its directory": pulled,
        "through the hub": lambda place: started(REPO, place, url),
    }
    started(needs("WAYBILL_TEST_MODEL"), folder / "first")  # reads the programs from disk
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for number, (name, way) in enumerate(ways.items()):
            times[name].append(way(folder / f"{turn}-{number}"))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="starts of each way (default 3)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        minio_server(needs("WAYBILL_TEST_MINIO"), Path(name)) as server,
    ):
        folder = Path(name)
        with hub(fill(server, folder), server, folder) as url:
            times = measure(url, options.rounds, folder / "starts")
    least = statistics.median(times["a directory"])
    rows = [
        [way, f"{statistics.median(each):.1f} s", f"{statistics.median(each) - least:+.1f} s"]
        for way, each in times.items()
    ]
    print(table(["an engine starts from", "to healthy", "beside a directory"], rows))


if __name__ == "__main__":
    main()
