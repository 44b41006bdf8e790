"""A real hub process over a directory or a real MinIO, and the real client pointed at it."""

import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.services import Minio, free_port, running
from tests.unit.hub import models
from waybill.manifest import Manifest
from waybill.store.connect import Access, connect
from waybill.store.layout import Ref
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE = secrets.token_bytes(5_000_000)
FILES = {**models.FILES, "model.safetensors": LARGE}


@dataclass(frozen=True)
class Hub:
    url: str
    log: Path
    process: Popen[bytes]
    manifest: Manifest

    def lines(self, pattern: str) -> list[str]:
        """Lines of the request log that match."""
        return [line for line in self.log.read_text().splitlines() if re.search(pattern, line)]

    def settled(self, pattern: str) -> list[str]:
        """Those of all requests whose answers have come: a line is written after its answer's end,
        which the client may have read by then.
        """
        found, last = self.lines(pattern), None
        while found != last:
            last = found
            time.sleep(0.5)
            found = self.lines(pattern)
        return found

    def get(self, path: str, **headers: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.get(self.url + path, headers=headers)


def contents(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def fill(store: Store) -> Manifest:
    store.init()
    manifest = models.add(store, FILES)
    store.add_alias(models.REPO, models.UPSTREAM, manifest.commit)
    for kind, name in (("heads", "main"), ("heads", "fix/it"), ("tags", "v1.0")):
        models.point(store, Ref(kind, name), manifest)
    return manifest


@contextmanager
def hub_process(
    store: str,
    folder: Path,
    manifest: Manifest,
    *options: str,
    program: tuple[str, ...] = ("-m", "waybill"),
) -> Iterator[Hub]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, *program, "hub", "--store", store]
    command += ["--port", str(port), *options]
    log = folder / "hub.log"
    with running(command, {}, log, f"{url}/readyz", 30) as process:
        yield Hub(url, log, process, manifest)


@pytest.fixture
def in_directory(tmp_path: Path) -> Store:
    return models.new_store(tmp_path)


@pytest.fixture(scope="package")
def in_bucket(minio: Minio, s3: "S3Client") -> Iterator[Store]:
    """A store on MinIO, whose credentials this process and those it starts have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", minio.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", minio.secret_key)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        name = f"hub-{secrets.token_hex(6)}"
        s3.create_bucket(Bucket=name)
        yield connect(f"s3://{name}/models", Access(endpoint=minio.endpoint))


@pytest.fixture(scope="package", params=["directory", "redirect", "proxy"])
def shared_hub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hub]:
    """Over a directory, over S3 with redirects, over S3 as a proxy."""
    folder = tmp_path_factory.mktemp("hub")
    if request.param == "directory":
        store: Store = models.new_store(folder)
        options: tuple[str, ...] = ()
    else:
        store = request.getfixturevalue("in_bucket")
        endpoint = request.getfixturevalue("minio").endpoint
        options = ("--endpoint", endpoint, "--delivery", request.param)
    with hub_process(store.url, folder, fill(store), *options) as hub:
        yield hub


@pytest.fixture
def hub(shared_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub, and the client with a cache of its own for each test."""
    isolate_client(shared_hub.url, tmp_path, monkeypatch)
    return shared_hub


def isolate_client(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub reads its environment when it is imported, so for this process the
    constants are what counts; the variables are for the processes that a test starts."""
    home = folder / "huggingface"
    for name, value in {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    constants = "huggingface_hub.constants."
    monkeypatch.setattr(constants + "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants + "AGENT_HARNESSES_PATH", str(home / ".agent_harnesses.json"))
    monkeypatch.setattr(constants + "HF_HUB_DISABLE_TELEMETRY", True)
