"""What the disk under MinIO has lost: the server finds it out, and cuts its answers short."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.integration.bundle.conftest import Process
from tests.services import Minio, minio_server, needs
from waybill.bundle.media import Bundle


@pytest.fixture
def rotting(tmp_path: Path) -> Iterator[Minio]:
    (tmp_path / "minio").mkdir()
    with minio_server(needs("WAYBILL_TEST_MINIO"), tmp_path / "minio") as minio:
        yield minio


def rot(folder: Path, content: bytes) -> None:
    """One byte of what lies there is another one: the first of `content`."""
    for path in folder.rglob("*"):
        if path.is_file() and (at := path.read_bytes().find(content)) >= 0:
            with path.open("r+b") as stream:
                stream.seek(at)
                stream.write(bytes([content[0] ^ 1]))
            return
    raise AssertionError(f"{folder} has none of it")


@pytest.mark.parametrize(("name", "offset"), [("a.safetensors", 70 << 20), ("config.json", 0)])
def test_it_is_named_left_out_and_replaced(
    name: str, offset: int, rotting: Minio, model: Path, bundle: Path, tmp_path: Path
) -> None:
    env = {"AWS_ACCESS_KEY_ID": rotting.access_key, "AWS_SECRET_ACCESS_KEY": rotting.secret_key}
    s3 = boto3.session.Session(rotting.access_key, rotting.secret_key).client(
        "s3", endpoint_url=rotting.endpoint, region_name="us-east-1"
    )

    def run(*words: object, code: int = 0) -> str:
        with Process(words, env).start() as process:
            out, err = process.communicate()
        assert process.returncode == code, err
        return out + err

    at = ("--endpoint", rotting.endpoint)
    for place in ("models", "copy"):
        s3.create_bucket(Bucket=place)
        run("store", "init", f"s3://{place}", *at)
    run("sideload", bundle, "--to", "s3://models", *at)
    (revision,) = Bundle.open([bundle]).index.revisions
    digest = revision.manifest.by_path[name].digest
    held = tmp_path / "minio/data/models/blobs/sha256" / digest.removeprefix("sha256:")
    rot(held, (model / name).read_bytes()[offset : offset + 100])
    assert f"{digest} in s3://models is corrupt" in run(
        "verify", "--store", "s3://models", *at, code=4
    )
    between = ("--from-endpoint", rotting.endpoint, "--to-endpoint", rotting.endpoint)
    told = run("sync", "s3://models", "s3://copy", *between, code=4)
    assert f"{digest} in s3://models at {rotting.endpoint} is corrupt" in told
    assert "6 blobs sent" in told
    where = ("--to", "s3://models", *at)
    assert digest in run("sideload", bundle, *where, "--verify", "deep", code=4)
    assert "; damaged: 1" in run("sideload", bundle, *where, "--repair")
    assert "0 wrong" in run("verify", "--store", "s3://models", *at)
    run("sync", "s3://models", "s3://copy", *between)
