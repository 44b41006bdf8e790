"""Objects of a real MinIO as a source: a prefix, one object, and what can be wrong with them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import CUT, faulty, gets
from tests.integration.source.conftest import FILES, Pack, contents, packed_from_directory
from tests.services import Minio
from waybill.errors import (
    BucketNotFound,
    SourceChanged,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    UnsafePath,
)
from waybill.source.base import Origin, Source
from waybill.source.connect import open_source
from waybill.source.reach import Reach

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MODEL = FILES["model.safetensors"]


@pytest.fixture(autouse=True)
def credentials(minio: Minio, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", minio.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", minio.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield


@pytest.fixture
def filled(s3: "S3Client", bucket: str) -> str:
    """A bucket with the model below models/demo/, and neighbours that are none of it."""
    for path, data in FILES.items():
        s3.put_object(Bucket=bucket, Key=f"models/demo/{path}", Body=data)
    s3.put_object(Bucket=bucket, Key="models/demo-2/config.json", Body=b"other")
    s3.put_object(Bucket=bucket, Key="models/demo/", Body=b"")
    return bucket


Opener = Callable[[str], Source]


@pytest.fixture
def opener(minio: Minio) -> Opener:
    return lambda url: open_source(url, Reach(endpoint=minio.endpoint))


@pytest.mark.parametrize("path", ["models/demo/", "models/demo"])
def test_a_prefix_is_a_directory(path: str, filled: str, opener: Opener) -> None:
    source = opener(f"s3://{filled}/{path}")
    assert contents(source) == FILES
    assert source.origin == Origin(f"s3://{filled}/{path}", license="apache-2.0")


def test_a_whole_bucket_is_a_directory(filled: str, opener: Opener) -> None:
    found = [file.path for file in opener(f"s3://{filled}").files()]
    assert "models/demo-2/config.json" in found
    assert len(found) == len(FILES) + 1


def test_a_key_is_a_single_file(filled: str, opener: Opener) -> None:
    source = opener(f"s3://{filled}/models/demo/model.safetensors")
    assert contents(source) == {"model.safetensors": MODEL}


def test_a_prefix_gives_the_revision_that_the_directory_gives(
    filled: str, minio: Minio, model: Path, pack: Pack
) -> None:
    where = (f"s3://{filled}/models/demo/", "--source-endpoint", minio.endpoint)
    bundle = pack(*where, "--as", "acme/demo")
    assert bundle.index.revisions[0].manifest.commit == packed_from_directory(pack, model)


def test_what_is_not_there_is_told(filled: str, opener: Opener) -> None:
    with pytest.raises(SourceNotFound, match="no object has this key or this prefix"):
        opener(f"s3://{filled}/models/other").files()
    with pytest.raises(BucketNotFound):
        opener("s3://no-such-bucket/models/").files()


def test_a_server_that_is_away_is_told() -> None:
    source = open_source("s3://bucket/x/", Reach(endpoint="http://127.0.0.1:1"))
    with pytest.raises(SourceUnreachable, match="the source s3://bucket/x/ cannot be read"):
        source.files()


def test_wrong_credentials_are_told(
    filled: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for url in (f"s3://{filled}/models/demo/", f"s3://{filled}/models/demo/config.json"):
        with pytest.raises(SourceRefused, match=f"{url} refuses access") as caught:
            opener(url).files()
        assert "--source-profile" in caught.value.advice


def test_an_object_that_changes_meanwhile_is_never_mixed(
    filled: str, opener: Opener, s3: "S3Client"
) -> None:
    source = opener(f"s3://{filled}/models/demo/")
    (file,) = [one for one in source.files() if one.path == "model.safetensors"]
    s3.put_object(Bucket=filled, Key="models/demo/model.safetensors", Body=MODEL[::-1])
    for offset in (0, 1000):
        with pytest.raises(SourceChanged, match=r"model\.safetensors changed"):
            source.open(file, offset).read()
    s3.delete_object(Bucket=filled, Key="models/demo/model.safetensors")
    with pytest.raises(SourceChanged):
        source.open(file).read()


def test_a_connection_that_breaks_is_gone_on_with(filled: str, minio: Minio) -> None:
    with faulty(minio.endpoint) as line:
        source = open_source(f"s3://{filled}/models/demo/", Reach(endpoint=line.endpoint))
        (file,) = [one for one in source.files() if one.path == "model.safetensors"]
        line.next(CUT, gets, times=3)
        with source.open(file) as stream:
            assert stream.read() == MODEL
    assert line.done[CUT] == 3


@pytest.mark.parametrize("key", ["a/new\nline", "tab\t"])
def test_a_key_that_is_no_path_is_refused(
    key: str, bucket: str, opener: Opener, s3: "S3Client"
) -> None:
    s3.put_object(Bucket=bucket, Key=f"m/{key}", Body=b"x")
    with pytest.raises(UnsafePath):
        opener(f"s3://{bucket}/m/").files()
