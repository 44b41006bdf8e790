"""Servers that the tests of this folder share."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.keycloak import Keycloak, keycloak_server
from tests.services import Minio, minio_server, needs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with minio_server(needs("WAYBILL_TEST_MINIO"), tmp_path_factory.mktemp("minio")) as server:
        yield server


@contextmanager
def client_of(server: Minio) -> Iterator["S3Client"]:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
    )
    yield client
    client.close()


@pytest.fixture(scope="session")
def s3(minio: Minio) -> Iterator["S3Client"]:
    with client_of(minio) as client:
        yield client


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    """The name of a bucket of its own for each test."""
    name = f"test-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    folder = tmp_path_factory.mktemp("keycloak")
    with keycloak_server(needs("WAYBILL_TEST_KEYCLOAK"), folder) as server:
        yield server


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    return Path(needs("WAYBILL_TEST_MODEL"))
