"""Peak memory and time of pack, verify, sideload and pull over one large file.

Usage: python ci/bench/memory.py [--folder DIR] [--s3] SIZE...      (SIZE as 1GB, 16GB)

The file is sparse; the bundle and the stores are not, so twice its size must be free.
--s3 sideloads into a MinIO, too, whose program WAYBILL_TEST_MINIO names (`ci/tools minio`).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.services import Minio, minio_server, needs
from waybill.cli.arguments import size
from waybill.cli.output import human, table


@dataclass(frozen=True)
class Cost:
    step: str
    peak: int
    seconds: float


# Of the process itself: what the kernel tells its parent counts the parent's own memory, too.
MEASURED = """
import sys
from waybill.cli.main import main
code = main(sys.argv[1:])
print(open("/proc/self/status").read(), file=sys.stderr)
sys.exit(code)
"""


def cost_of(step: str, *arguments: object) -> Cost:
    """Run one command in a process of its own."""
    began = time.monotonic()
    command = [sys.executable, "-c", MEASURED, *map(str, arguments), "--quiet"]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    told = ran.stderr.decode()
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", told, re.MULTILINE)
    if ran.returncode or not peak:
        raise SystemExit(f"{step} failed\n{told}")
    return Cost(step, int(peak[1]) * 1024, time.monotonic() - began)


def to_s3(bundle: Path, server: Minio) -> Cost:
    key, secret = server.access_key, server.secret_key
    os.environ.update(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bench")
    where = ("s3://bench", "--endpoint", server.endpoint)
    cost_of("init", "store", "init", *where)
    return cost_of("sideload to S3", "sideload", bundle, "--to", *where)


def steps(folder: Path, bytes_: int, *, s3: bool) -> Iterator[Cost]:
    """What is no longer needed goes at once, so that two copies at most are there."""
    model, bundle, store = (folder / name for name in ("model", "bundle", "store"))
    model.mkdir()
    (model / "model.safetensors").touch()
    os.truncate(model / "model.safetensors", bytes_)
    yield cost_of("pack", "pack", model, "--as", "bench/model", "--out", bundle)
    yield cost_of("verify", "verify", bundle)
    if s3:
        (folder / "minio").mkdir()
        with minio_server(needs("WAYBILL_TEST_MINIO"), folder / "minio") as server:
            yield to_s3(bundle, server)
        shutil.rmtree(folder / "minio")
    cost_of("init", "store", "init", store)
    yield cost_of("sideload to a directory", "sideload", bundle, "--to", store)
    shutil.rmtree(bundle)
    yield cost_of("pull", "pull", "bench/model", "--from", store, "--out", folder / "back")
    yield cost_of("verify the store", "verify", "--store", store)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="+", type=size, metavar="SIZE")
    parser.add_argument("--folder", type=Path, help="where there is room (default: for temporary)")
    parser.add_argument("--s3", action="store_true", help="sideload into a MinIO, too")
    options = parser.parse_args()
    found: dict[str, list[Cost]] = {}
    for bytes_ in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            for cost in steps(Path(folder), bytes_, s3=options.s3):
                found.setdefault(cost.step, []).append(cost)
                print(f"{human(bytes_)}: {cost.step} {human(cost.peak)}", file=sys.stderr)
    head = ["step", *[f"{human(one)} file" for one in options.sizes], "largest / smallest"]
    rows = []
    for step, costs in found.items():
        peaks = [cost.peak for cost in costs]
        cells = [f"{human(cost.peak)} in {cost.seconds:.1f} s" for cost in costs]
        rows.append([step, *cells, f"{max(peaks) / min(peaks):.2f}"])
    print(table(head, rows))


if __name__ == "__main__":
    main()
