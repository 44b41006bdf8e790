"""S3 stores in a real MinIO, and credentials as people keep them."""

import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import Minio
from tests.store_contract import FACTS, Place
from waybill.store import layout
from waybill.store.connect import Access
from waybill.store.s3 import S3Backend
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def write_credentials(path: Path, access_key: str, secret_key: str) -> None:
    path.write_text(
        f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
        f"[wrong-secret]\naws_access_key_id = {access_key}\naws_secret_access_key = wrong\n"
        "[unknown-key]\naws_access_key_id = nobody\naws_secret_access_key = wrong\n"
        f"[incomplete]\naws_access_key_id = {access_key}\n"
    )


@pytest.fixture(autouse=True)
def credentials(minio: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shared credentials file with the server's, and nothing else from outside."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "credentials"
    write_credentials(path, minio.access_key, minio.secret_key)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return path


@pytest.fixture(scope="session")
def shared_bucket(s3: "S3Client") -> str:
    name = f"stores-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    return name


@cache
def client_of(endpoint: str | None) -> "S3Client":
    """A backend's own client, made once: that costs more than most tests do."""
    return S3Backend("any", endpoint=endpoint).client


class S3Place(Place):
    def open(self) -> Store:
        store = super().open()
        store.backend.__dict__["client"] = client_of(self.access.endpoint)
        return store


@pytest.fixture
def place(minio: Minio, shared_bucket: str) -> Place:
    """A prefix of its own, two levels deep, in a bucket that other stores share."""
    url = f"s3://{shared_bucket}/stores/{secrets.token_hex(6)}"
    return S3Place(url, Access(endpoint=minio.endpoint))


def initialised(place: Place) -> Store:
    """A store as `init` leaves it, without the seconds of its probe."""
    store = place.open()
    assert store.backend.create(layout.STORE, FACTS)
    return store


def backend_of(store: Store) -> S3Backend:
    assert isinstance(store.backend, S3Backend)
    return store.backend


def stored_key(store: Store, key: str) -> dict[str, Any]:
    """Bucket and Key of one of the store's keys, for a plain client."""
    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": f"{prefix}/{key}".lstrip("/")}
