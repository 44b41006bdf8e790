"""A small model, its bundle, and stores on a real MinIO that commands are let loose on."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.integration.faults.commands import (
    NO_TROUBLE,
    NOTHING,
    PART_SIZE,
    PIECE,
    Command,
    Starter,
    Trouble,
)
from tests.services import Minio
from tests.store_contents import noise
from tests.store_contract import FACTS
from tests.unit.bundle.bundles import REPO, sound
from waybill import digest as digests
from waybill.store import layout
from waybill.store.connect import Access, connect
from waybill.store.layout import Ref
from waybill.store.s3 import S3Backend
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = {
    "config.json": noise(700, 1),
    "model.safetensors": noise(2 * PIECE + 700_000, 2),
    "tokenizer.json": noise(300_000, 3),
    "vocab.txt": noise(3_000, 4),
}
SIZE = sum(map(len, FILES.values()))
OTHERS = 200_000
"""Bytes of what is sent beside the model: manifest, statements, records."""
LARGE = digests.of(FILES["model.safetensors"])
MAIN, PIN = Ref("heads", "main"), Ref.pin("test", "chat")


def keys_of(server: Minio) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "WAYBILL_BY": "a test",
    }


@pytest.fixture(scope="package")
def starter(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> Starter:
    return Starter(tmp_path_factory.mktemp("said"), keys_of(minio))


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="package")
def bundle(model: Path, starter: Starter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "out"
    starter.run(*packing(model, out))
    assert len(list(out.glob("part-*.tar"))) == 2
    return out


def packing(model: Path, out: Path) -> tuple[object, ...]:
    return ("pack", model, "--as", REPO, "--part-size", PART_SIZE, "--out", out)


@dataclass(frozen=True)
class Field:
    """A project with `dev` and `test` in one bucket, which the server gives at `endpoint`."""

    project: Path
    bucket: str
    server: Minio
    s3: "S3Client"
    starter: Starter

    def place(self, **prefixes: str) -> None:
        """Where the environments are: below which prefix, at which endpoint."""
        endpoint = prefixes.pop("endpoint", self.server.endpoint)
        stores = {"dev": "dev", "test": "test", **prefixes}
        value = {
            name: {"store": f"s3://{self.bucket}/{prefix}", "endpoint": endpoint}
            for name, prefix in stores.items()
        }
        path = self.project / "values/environments.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"environments": value}, sort_keys=False))

    def new(self, prefix: str) -> Store:
        """An empty store, without the seconds of the probe."""
        store = self.store(prefix)
        assert store.backend.create(layout.STORE, FACTS)
        return store

    def store(self, prefix: str) -> Store:
        """Through one client for all: to make one takes longer than most of what it does."""
        store = connect(f"s3://{self.bucket}/{prefix}", Access(self.server.endpoint))
        assert isinstance(store.backend, S3Backend)
        store.backend._clients[self.server.endpoint] = self.s3
        return store

    def start(self, *words: object, env: Mapping[str, str] = NOTHING) -> Command:
        return self.starter.start(*words, "--project", self.project, env=env)

    def run(self, *words: object, code: int = 0, trouble: Trouble = NO_TROUBLE) -> Command:
        return self.starter.run(*words, "--project", self.project, code=code, trouble=trouble)

    def unfinished(self, prefix: str) -> list[str]:
        """Uploads of the large blob that were begun and not ended."""
        key = f"{prefix}/{layout.blob(LARGE)}"
        found = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=key)
        return [upload["UploadId"] for upload in found.get("Uploads", [])]

    def there(self, prefix: str) -> int:
        """Bytes of the model that the server has: blobs, and parts of unfinished uploads."""
        key = f"{prefix}/{layout.blob(LARGE)}"
        parts = [
            part["Size"]
            for upload in self.unfinished(prefix)
            for part in self.s3.list_parts(Bucket=self.bucket, Key=key, UploadId=upload).get(
                "Parts", []
            )
        ]
        blobs = [stat.size for stat in self.store(prefix).backend.list(layout.BLOBS)]
        return sum(parts) + sum(blobs)


@pytest.fixture
def field(minio: Minio, s3: "S3Client", starter: Starter, tmp_path: Path) -> Field:
    return new_field(tmp_path / "project", minio, s3, starter)


def new_field(project: Path, server: Minio, s3: "S3Client", starter: Starter) -> Field:
    """Empty stores `dev` and `test`."""
    bucket = f"faults-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=bucket)
    field = Field(project, bucket, server, s3, starter)
    field.place()
    for prefix in ("dev", "test"):
        field.new(prefix)
    return field


def wait_for(reached: Callable[[], bool], command: Command) -> None:
    while not reached():
        assert command.process.is_alive(), command.said
        time.sleep(0.02)


def assert_loaded(store: Store, ref: Ref = MAIN) -> None:
    """The model is there under this ref, byte for byte, and all else is sound."""
    assert sound(store)
    head = store.head(REPO, ref)
    assert head
    files = store.manifest(REPO, head.commit).files
    assert {file.path: file.digest for file in files} == {
        path: digests.of(data) for path, data in FILES.items()
    }
    for file in files:
        store.verify(file.descriptor)


def assert_nothing_visible(store: Store) -> None:
    assert list(store.backend.list("repos/")) == list(store.backend.list("refs/")) == []
    assert sound(store)


def assert_one_sentence(said: str, told: str) -> None:
    """What was said on stderr: progress apart, an error and a hint."""
    assert re.search(rf"^error: .*{told}", said, re.MULTILINE), said
    assert said.count("error: ") == said.count("hint: ") == 1
    assert "Traceback" not in said
