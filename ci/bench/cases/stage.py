"""What the benchmarks of bundles and stores run on: a model, its bundle, a MinIO, and the peers."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from ci.bench.cases.measure import noise, shell, waybill
from tests.services import Minio, free_port, minio_server, needs, running

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REPO = "bench/model"
SIGN = """
umask 077; openssl genpkey -algorithm ed25519 -out "$1/key" 2>/dev/null
{
    printf 'keys:\n  bench:\n    publicKey: |\n'
    openssl pkey -in "$1/key" -pubout | sed 's/^/      /'
    printf 'default: {signedBy: [bench], unsigned: refuse}\n'
} >"$1/trust.yaml"
"""
DROP = """"$1" rb --quiet --force "bench/$2"; rm -rf "${3:?}"/*"""


def model(folder: Path, size: int, files: int) -> Path:
    """A model of that many weight files, and a config."""
    for number in range(files):
        name = f"model-{number + 1:05}-of-{files:05}.safetensors"
        noise(folder / name, size // files)
    (folder / "config.json").write_text('{"model_type": "bench"}\n')
    return folder


def signing(folder: Path) -> None:
    """There: a `key`, and a policy `trust.yaml` that asks for its signature."""
    shell(SIGN, folder)


@dataclass(frozen=True)
class Server:
    """A MinIO, and the peers' configuration for it."""

    minio: Minio
    folder: Path

    @cached_property
    def client(self) -> S3Client:
        # The default session would remember the keys of the first server.
        session = boto3.session.Session(region_name="us-east-1")
        return session.client("s3", endpoint_url=self.minio.endpoint)

    def bucket(self) -> str:
        """A new one."""
        name = f"bench-{secrets.token_hex(4)}"
        self.client.create_bucket(Bucket=name)
        return name

    def store(self) -> tuple[str, ...]:
        """A new store: its URL and how it is reached."""
        where = (f"s3://{self.bucket()}", "--endpoint", self.minio.endpoint)
        waybill("store", "init", *where)
        return where

    def drop(self, bucket: str) -> None:
        """What earlier rounds left must neither slow the later ones down nor fill the disk: MinIO
        itself empties its trash every five minutes."""
        trash = self.folder / "data/.minio.sys/tmp/.trash"
        shell(DROP, needs("WAYBILL_BENCH_MC"), bucket, trash)


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    folder.mkdir(parents=True)
    with minio_server(needs("WAYBILL_TEST_MINIO"), folder) as minio:
        key, secret = minio.access_key, minio.secret_key
        address = minio.endpoint.removeprefix("http://")
        os.environ.update(
            AWS_ACCESS_KEY_ID=key,
            AWS_SECRET_ACCESS_KEY=secret,
            MC_HOST_bench=f"http://{key}:{secret}@{address}",
            MC_CONFIG_DIR=str(folder / "mc"),
            RCLONE_CONFIG="/dev/null",
            RCLONE_CONFIG_BENCH_TYPE="s3",
            RCLONE_CONFIG_BENCH_PROVIDER="Minio",
            RCLONE_CONFIG_BENCH_ENV_AUTH="true",
            RCLONE_CONFIG_BENCH_ENDPOINT=minio.endpoint,
        )
        yield Server(minio, folder)


@contextmanager
def hub(store: str, minio: Minio, folder: Path) -> Iterator[str]:
    """Its URL; it redirects to the server, and logs into the folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "waybill", "hub", "--store", store]
    command += ["--endpoint", minio.endpoint, "--port", str(port)]
    with running(command, {}, folder / "hub.log", f"{url}/readyz", 30):
        yield url
