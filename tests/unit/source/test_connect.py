"""From URLs to sources: each form, what it takes, and where local ones may lie."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from waybill.errors import BadFile, BadValue, OutsideRoots, Unreadable, UnsafePath
from waybill.source.connect import FORMS, open_source
from waybill.source.directory import DirectorySource, FileSource
from waybill.source.huggingface import HuggingFaceSource
from waybill.source.oci import OciSource
from waybill.source.reach import Reach, Roots
from waybill.source.s3 import S3Source
from waybill.source.waybill_store import StoreSource
from waybill.source.website import WebsiteSource

GUIDE = Path(__file__).resolve().parents[3] / "tools/docs/sources.md"
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "models" / "demo").mkdir(parents=True)
    (tmp_path / "models" / "demo" / "config.json").write_bytes(b"{}")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "models"


def test_marks_of_a_url_are_part_of_a_name_where_they_are_written_so(root: Path) -> None:
    folder = root / os.fsdecode(b"demo?2#\xff")
    folder.mkdir()
    for url in (str(folder), folder.as_uri()):
        assert str(open_source(url)) == str(folder)


def test_a_path_and_a_file_url_are_what_lies_there(root: Path) -> None:
    folder, file = root / "demo", root / "demo/config.json"
    for url in (str(folder), folder.as_uri(), f"file://localhost{folder}"):
        assert isinstance(open_source(url), DirectorySource)
        assert str(open_source(url)) == str(folder)
    for url in (str(file), file.as_uri()):
        assert isinstance(open_source(url), FileSource)
        assert [one.path for one in open_source(url).files()] == ["config.json"]


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("hf://acme/demo@v1", HuggingFaceSource, "http://localhost:1/acme/demo"),
        ("hf://acme/demo", HuggingFaceSource, "http://localhost:1/acme/demo"),
        ("s3://bucket/a/b/", S3Source, "s3://bucket/a/b/"),
        ("s3://bucket", S3Source, "s3://bucket/"),
        ("https://host/a/model.gguf", WebsiteSource, "https://host/a/model.gguf"),
        ("http://host:8080/a/SHA256SUMS", WebsiteSource, "http://host:8080/a/SHA256SUMS"),
        ("oci://host:5000/a/b:v1", OciSource, "oci://host:5000/a/b:v1"),
        (f"oci://host/a@{DIGEST}", OciSource, f"oci://host/a@{DIGEST}"),
        (f"oci+http://host/a:v1@{DIGEST}", OciSource, f"oci+http://host/a:v1@{DIGEST}"),
        ("hub+https://hub.example/x#a/b@v1", HuggingFaceSource, "https://hub.example/x/a/b"),
        ("store+s3://bucket/x#a/b", StoreSource, "s3://bucket/x#a/b@main"),
        ("store+file:///tmp#a/b@v1", StoreSource, "file:///tmp#a/b@v1"),
    ],
)
def test_each_form_opens_its_source(url: str, kind: type, name: str) -> None:
    reach = Reach(endpoint="http://localhost:1") if url.startswith("hf") else Reach()
    source = open_source(url, reach)
    assert isinstance(source, kind)
    assert str(source) == name


def test_what_lies_on_this_machine_can_be_read_at_several_places_at_once(root: Path) -> None:
    for url in (f"{root}/demo", f"{root}/demo/config.json", f"store+{root.as_uri()}#a/b"):
        assert open_source(url).local
    for url in ("hf://a/b", "s3://b/k", "https://h/f", "oci://h/r:v", "store+s3://b#a/b"):
        assert not open_source(url).local


def test_a_source_of_another_form_is_refused_with_all_that_are_known() -> None:
    for url in ("", "gs://bucket", "hf://", "file://", "ftp://name:word@host/x"):
        with pytest.raises(BadValue, match=r"it must be \./path, file:///path, hf://") as caught:
            open_source(url)
        assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://host", "it must name a file"),
        ("https://host/folder/", "it must name a file"),
        ("https://host/a?signature=x", "no '\\?' or '#' can be"),
        ("https://name:word@host/a", "credentials do not belong in a URL"),
        ("oci://host/a", "it must be oci://registry/repository:tag"),
        ("oci://host/A:v1", "it must be oci://registry/repository:tag"),
        ("oci://name:word@host/a", "credentials do not belong in a URL"),
        ("s3://name:word@bucket/x", "credentials do not belong in a URL"),
        ("s3://name:a/word@bucket/x", "'s3://...@bucket/x' is not usable: credentials do not"),
        ("hf://name:word@host/x", "credentials do not belong in a URL"),
        ("pvc://name:word@claim/x", "credentials do not belong in a URL"),
        ("store+s3://name:word@bucket#a/b@main", "credentials do not belong in a URL"),
        (
            "store+s3://bucket/x",
            r"'store\+s3://bucket/x' is not usable: it must end in #owner/name@revision",
        ),
        ("store+s3://bucket/x#name", "it must be owner/name"),
        (
            "hub+https://host",
            r"'hub\+https://host' is not usable: it must end in #owner/name@revision",
        ),
        ("hub+https://name:word@host#a/b", "credentials do not belong in a URL"),
        (
            "hub+https://host#a/b/c",
            "repo of the source 'a/b/c' is not usable: it must be owner/name",
        ),
        ("hf://a/b?x", "repo of the source 'a/b\\?x' is not usable: it must be owner/name"),
        ("file://host/path", "it must be file:///path, with three slashes"),
        ("file:///models/demo#2", "write %3F for '\\?' and %23 for '#', or the plain path"),
        ("file:///models/demo?2", "write %3F for '\\?' and %23 for '#', or the plain path"),
        ("https://host/\udcff/a", "it is no UTF-8; write %XX for such bytes"),
        ("hub+https://host?key=word#a/b", "no '\\?' can be in the address"),
        ("store+file:///models?#a/b", "no '\\?' can be in the address"),
        ("pvc://claim/path", "a claim is read in its cluster: waybill sideload --in-cluster"),
    ],
)
def test_what_does_not_fit_its_form_is_told(url: str, why: str) -> None:
    with pytest.raises(BadValue, match=why) as caught:
        open_source(url)
    assert "word" not in str(caught.value)


def test_a_name_of_a_file_that_leaves_is_refused() -> None:
    with pytest.raises(UnsafePath):
        open_source("https://host/a/..%2f..%2fetc")


def test_what_a_form_does_not_take_is_refused_and_not_passed_over(root: Path) -> None:
    with pytest.raises(BadValue, match=r"--source-profile 'x' is not usable: .* does not take it"):
        open_source("https://host/file", Reach(profile="x"))
    with pytest.raises(BadValue, match="--source-sha256"):
        open_source(str(root), Reach(sha256="00"))


def test_the_guide_has_each_form_in_its_table() -> None:
    guide = GUIDE.read_text()
    for form in FORMS.values():
        assert f"`{form.pattern}`" in guide


def test_a_file_that_is_not_there_is_told_before_anything_is_asked(root: Path) -> None:
    missing = str(root / "missing")
    for reach in (
        Reach(ca_bundle=missing),
        Reach(client_certificate=missing),
        Reach(token_file=missing),
    ):
        with pytest.raises(BadFile, match="missing"):
            open_source("https://host/file", reach)


def test_a_token_file_holds_one_token(root: Path) -> None:
    (root / "token").write_text("one\ntwo\n")
    with pytest.raises(BadFile, match="it must hold one token") as caught:
        open_source("https://host/file", Reach(token_file=str(root / "token")))
    assert "two" not in str(caught.value)


@pytest.mark.parametrize("token", ["caf\u00e9", "one\ntwo"])
def test_a_token_that_no_header_takes_is_told_and_not_shown(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_HTTP_TOKEN", token)
    why = "WAYBILL_HTTP_TOKEN '\u2026' is not usable: it must be one token, in ASCII"
    with pytest.raises(BadValue, match=why):
        open_source("https://host/file")


def confined(*groups: tuple[Path, ...]) -> Reach:
    return Reach(roots=Roots(groups))


def escapes(root: Path) -> Iterator[str]:
    yield str(root.parent / "secret")
    yield str(root / "../secret")
    yield (root.parent / "secret").as_uri()
    yield f"{root.as_uri()}/%2e%2e/secret"
    (root / "link").symlink_to("../secret")
    yield str(root / "link")
    (root / "folder").symlink_to("/")
    yield str(root / "folder" / "etc")
    yield f"store+{root.parent.as_uri()}#a/b"


def test_a_source_outside_of_the_allowed_roots_is_refused(root: Path) -> None:
    for url in escapes(root):
        with pytest.raises(OutsideRoots) as caught:
            open_source(url, confined((root,)))
        assert caught.value.exit_code == 3
        assert str(root) in str(caught.value)


def test_a_source_below_an_allowed_root_is_read(root: Path) -> None:
    for url in (str(root), str(root / "demo"), str(root / "demo/config.json")):
        assert open_source(url, confined((root.parent / "x", root))).files()


def test_roots_of_the_service_and_of_the_caller_both_count(root: Path) -> None:
    within = confined((root,), (root / "demo",))
    assert open_source(str(root / "demo"), within).files()
    for wider in (root, root.parent):
        with pytest.raises(OutsideRoots):
            open_source(str(wider), within)
    with pytest.raises(OutsideRoots):
        open_source(str(root / "demo"), confined((root,), (root.parent / "x",)))


def test_a_root_that_is_a_link_stands_for_where_it_leads(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    assert open_source(str(root / "demo"), confined((root.parent / "alias",))).files()


def test_a_snapshot_whose_blobs_lie_outside_of_the_roots_is_refused(tmp_path: Path) -> None:
    repo = tmp_path / "models--Acme--Demo"
    snapshot = repo / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "blobs" / "abc").write_bytes(b"x")
    (snapshot / "a.txt").symlink_to("../../blobs/abc")
    assert open_source(str(snapshot), confined((repo,))).files()
    with pytest.raises(UnsafePath, match="it is a link that leaves it"):
        open_source(str(snapshot), confined((repo / "snapshots",))).files()


def test_blobs_of_a_snapshot_that_are_a_link_are_not_believed(tmp_path: Path) -> None:
    repo = tmp_path / "models--Acme--Demo"
    snapshot = repo / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repo / "blobs").symlink_to("/etc")
    (snapshot / "a.txt").symlink_to("../../blobs/passwd")
    with pytest.raises(UnsafePath, match="it is a link that leaves it"):
        open_source(str(snapshot)).files()


@pytest.mark.parametrize(("name", "why"), [("missing", "No such file"), ("n" * 300, "too long")])
def test_what_is_not_there_is_told(name: str, why: str, root: Path) -> None:
    with pytest.raises(Unreadable, match=why):
        open_source(str(root / name))
