"""From a URL to a store, without touching anything."""

from pathlib import Path

import pytest

from waybill.errors import BadFile, BadValue
from waybill.store.connect import Access, connect
from waybill.store.filesystem import FilesystemBackend
from waybill.store.s3 import S3Backend


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_a_bucket_with_or_without_a_prefix(url: str, shown: str) -> None:
    store = connect(url, Access(endpoint="http://127.0.0.1:1", profile="any"))
    assert isinstance(store.backend, S3Backend)
    assert store.url == store.backend.url == shown
    assert store.backend.bucket == "bucket"


def test_a_bucket_of_one_name_on_two_servers_is_two_places() -> None:
    def place(port: int, end: str = "") -> str:
        return connect("s3://b/p", Access(endpoint=f"http://127.0.0.1:{port}{end}")).backend.place

    assert place(1) == place(1, "/") == "s3://b/p at http://127.0.0.1:1"
    assert place(1) != place(2)


@pytest.mark.parametrize("spelling", ["file://{}", "file://localhost{}", "{}"])
def test_a_directory_by_url_or_path(tmp_path: Path, spelling: str) -> None:
    store = connect(spelling.format(tmp_path / "store"))
    assert isinstance(store.backend, FilesystemBackend)
    assert store.backend.root == tmp_path / "store"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["a b", "ä", "50%", "a#b", "what?", "a;b", "a:b"])
def test_the_url_of_any_directory_leads_back_to_it(tmp_path: Path, name: str) -> None:
    first = connect(str(tmp_path / name))
    first.init()
    again = connect(first.url)
    assert again.facts == first.facts
    assert (tmp_path / name / "store.json").is_file()


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert connect("store").url == (tmp_path / "store").as_uri()


@pytest.mark.parametrize(
    "url",
    ["", "s3:", "s3://", "s3:///prefix", "file:", "file://host/path", "http://x/y", "oci://x/y"],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(BadValue, match="it must be s3://bucket/prefix or file:///path"):
        connect(url)


@pytest.mark.parametrize("secret", ["word", "a/word", "#word", "?word"])
def test_a_secret_in_a_url_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(BadValue, match="credentials do not belong in a URL") as caught:
        connect(f"s3://name:{secret}@bucket/models")
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://b/p?x=1", "s3://b/p#x", "file:///a#b", "file:///a?b"])
def test_what_a_url_would_lose_is_refused(url: str) -> None:
    with pytest.raises(BadValue, match=r"'\?' and '#' cannot be in it"):
        connect(url)


def test_a_ca_bundle_that_cannot_be_used_is_no_server_that_does_not_answer(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    access = Access(ca_bundle=str(bundle))
    with pytest.raises(BadFile, match=r"caBundle .*/ca.pem cannot be used: there is no such file"):
        connect("s3://bucket", access)
    bundle.write_text("no certificate")
    with pytest.raises(BadFile, match="no certificate"):
        connect("s3://bucket", access)
