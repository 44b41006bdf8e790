"""What an S3 source that cannot be asked says of itself."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from waybill.errors import BadValue, SourceNotFound, SourceRefused
from waybill.source.reach import Reach
from waybill.source.s3 import S3Source


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


def test_a_bucket_that_none_can_be_is_put_down_to_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x" * 20)
    with pytest.raises(BadValue, match=r"^source 's3://no!/a' is not usable: .* bucket name"):
        S3Source("no!", "a", Reach(endpoint="http://127.0.0.1:1")).files()
