"""A project whose three environments are three buckets of a real MinIO."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.services import Minio
from tests.unit.release.world import NAMES, World
from waybill.store import layout
from waybill.store.connect import Access, connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def probed(minio: Minio, s3: "S3Client", tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """store.json of a store on this server: its probe takes seconds, so it is done once."""
    bucket = f"probed-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=bucket)
    with pytest.MonkeyPatch.context() as patch:
        use_profile(minio, tmp_path_factory.mktemp("aws") / "credentials", patch)
        store = connect(f"s3://{bucket}", Access(minio.endpoint, "waybill"))
        store.init()
        return store.backend.read(layout.STORE) or b""


def use_profile(minio: Minio, credentials: Path, patch: pytest.MonkeyPatch) -> None:
    """The credentials are in a profile, as people keep them."""
    credentials.write_text(
        f"[waybill]\naws_access_key_id = {minio.access_key}\n"
        f"aws_secret_access_key = {minio.secret_key}\n"
    )
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))


@pytest.fixture
def world(
    minio: Minio,
    s3: "S3Client",
    probed: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """The stores are made and empty."""
    use_profile(minio, tmp_path / "credentials", monkeypatch)
    project = tmp_path / "project"
    (project / "values").mkdir(parents=True)
    return new_stores(project, minio, s3, probed)


def new_stores(project: Path, minio: Minio, s3: "S3Client", probed: bytes, **more: str) -> World:
    """Writes the project's environments, and makes their stores; `more` is said of each."""
    places = {}
    for name in NAMES:
        bucket = f"{name}-{secrets.token_hex(6)}"
        s3.create_bucket(Bucket=bucket)
        store = f"s3://{bucket}/models"
        places[name] = {"store": store, "endpoint": minio.endpoint, "profile": "waybill", **more}
    text = yaml.safe_dump({"environments": places}, sort_keys=False)
    (project / "values/environments.yaml").write_text(text)
    world = World(project)
    for name in NAMES:
        world.store(name).backend.create(layout.STORE, probed)
    return world
