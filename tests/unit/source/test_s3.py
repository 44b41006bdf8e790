"""What an S3 source that cannot be asked says of itself."""

import io
from pathlib import Path
from unittest.mock import Mock

import pytest

from waybill.errors import BadValue, SourceNotFound, SourceRefused, SourceUnreachable
from waybill.source.reach import Reach
from waybill.source.s3 import S3Source
from waybill.store.s3 import S3Backend


@pytest.mark.parametrize("path", ["a", "a/"])
def test_a_profile_that_there_is_not_is_put_down_to_the_source(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(SourceRefused, match=f"^the source s3://bucket/{path} refuses") as caught:
        S3Source("bucket", path, Reach(profile="none")).files()
    assert "--source-profile" in caught.value.advice


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("", ""), ("a", "a/"), ("a/", "a/"), ("/a/", "/a/"), ("a//", "a//"), ("/", "/")],
)
def test_a_prefix_is_what_stands_there(
    path: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = Mock(return_value=())
    monkeypatch.setattr(S3Source, "_single", lambda _: {})
    monkeypatch.setattr(S3Source, "_below", below)
    with pytest.raises(SourceNotFound):
        S3Source("bucket", path, Reach()).files()
    below.assert_called_once_with(prefix)


@pytest.mark.parametrize(
    ("offset", "told"),
    [(2, {}), (2, {"ContentRange": "bytes 0-3/6"}), (0, {"ContentRange": "bytes 2-5/6"})],
)
def test_a_range_that_was_not_asked_for_is_not_taken(
    offset: int, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Mock()
    client.head_object.return_value = {"ContentLength": 6, "ETag": '"x"'}
    client.get_object.return_value = {"Body": io.BytesIO(b"cdef"), **told}
    monkeypatch.setattr(S3Backend, "client", client)
    monkeypatch.setattr("waybill.source.streams.time.sleep", Mock())
    source = S3Source("bucket", "a", Reach())
    with pytest.raises(SourceUnreachable, match="it sends another range than it was asked for"):
        source.open(source.files()[0], offset).read()


def test_a_bucket_that_none_can_be_is_put_down_to_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x" * 20)
    with pytest.raises(BadValue, match=r"^source 's3://no!/a' is not usable: .* bucket name"):
        S3Source("no!", "a", Reach(endpoint="http://127.0.0.1:1")).files()
