"""Real `waybill` processes over real files of several pieces, a directory and a real MinIO."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.services import Minio
from tests.store_contents import noise
from waybill.digest import PIECE
from waybill.store.connect import Access, connect
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_SIZE = 2 * PIECE + 1_000_000
SIZES = {"a.safetensors": 3 * PIECE + 12_345, "b.safetensors": PIECE // 2, "config.json": 700}


@dataclass
class Process:
    """A `waybill` process that can be killed in the middle of its work."""

    arguments: tuple[object, ...]
    env: dict[str, str] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "waybill", *map(str, self.arguments)]
        return subprocess.Popen(
            command,
            env={**os.environ, **self.env},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self) -> str:
        with self.start() as process:
            out, err = process.communicate()
        assert process.returncode == 0, err
        return out

    def stop_when(self, reached: Callable[[], bool], number: int) -> tuple[int, str]:
        """Send a signal as soon as `reached`; the exit code and what was said on stderr."""
        with self.start() as process:
            while not reached() and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(number)
            _, err = process.communicate()
        return process.returncode, err

    def kill_when(self, reached: Callable[[], bool]) -> bool:
        """Whether it was killed in the middle, not too late."""
        return self.stop_when(reached, signal.SIGKILL)[0] == -signal.SIGKILL


def written(folder: Path) -> int:
    """Bytes of all files below a folder, finished or not."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    for seed, (name, size) in enumerate(SIZES.items()):
        (folder / name).write_bytes(noise(size, seed))
    return folder


def pack(model: Path, *outs: Path) -> Process:
    options = [one for out in outs for one in ("--out", out)]
    return Process(("pack", model, "--as", "Acme/Demo", "--part-size", PART_SIZE, *options))


@pytest.fixture(scope="package")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "out"
    pack(model, out).run()
    return out


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    Process(("store", "init", tmp_path / "store")).run()
    return tmp_path / "store"


@dataclass(frozen=True)
class Bucket:
    url: str
    name: str
    server: Minio
    env: dict[str, str]

    def sideload(self, *arguments: object, endpoint: str | None = None) -> Process:
        where = ("--to", self.url, "--endpoint", endpoint or self.server.endpoint)
        return Process(("sideload", *arguments, *where), self.env)

    def open(self) -> Store:
        return connect(self.url, Access(endpoint=self.server.endpoint))


@pytest.fixture
def on_minio(minio: Minio, s3: "S3Client", monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty store on MinIO, whose credentials this process and those it starts have."""
    env = {
        "AWS_ACCESS_KEY_ID": minio.access_key,
        "AWS_SECRET_ACCESS_KEY": minio.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    bucket = f"bundle-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=bucket)
    place = Bucket(f"s3://{bucket}/models", bucket, minio, env)
    place.open().init()
    yield place


def commit_in(told: str) -> str:
    found = re.search(r" at ([0-9a-f]{40})", told)
    assert found
    return found[1]
