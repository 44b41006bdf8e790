"""One file of a revision: every header, range and condition that clients read or send."""

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Serve, Watched
from tests.unit.hub.models import FILES, REPO, UPSTREAM, file
from waybill import digest as digests
from waybill.hub.resolve import LARGE
from waybill.manifest import File, Manifest, git_blob_id
from waybill.store.layout import Ref
from waybill.store.store import Store

WEIGHTS = FILES["model.safetensors"]


def url(path: str, revision: str = "main") -> str:
    return f"/{REPO}/resolve/{revision}/{path}"


def test_a_text_is_named_by_its_git_id(hub: TestClient, tiny: Manifest) -> None:
    answer = hub.get(url("config.json"))
    assert answer.status_code == 200
    assert answer.content == FILES["config.json"]
    headers = answer.headers
    assert headers["x-repo-commit"] == tiny.commit
    assert headers["etag"] == f'"{git_blob_id(FILES["config.json"])}"'
    assert headers["content-length"] == str(len(FILES["config.json"]))
    assert headers["content-type"] == "application/json"
    assert headers["accept-ranges"] == "bytes"
    assert "x-linked-etag" not in headers
    assert "content-encoding" not in headers


def test_weights_are_named_by_their_sha256(hub: TestClient) -> None:
    answer = hub.get(url("model.safetensors"), headers={"Accept-Encoding": "gzip"})
    assert answer.content == WEIGHTS
    assert answer.headers["etag"] == f'"{digests.hex_of(digests.of(WEIGHTS))}"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", FILES)
def test_head_says_what_get_says(hub: TestClient, path: str) -> None:
    head, get = hub.head(url(path)), hub.get(url(path))
    assert head.status_code == get.status_code == 200
    differing = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in get.headers.items() if k not in differing
    }
    assert (head.content, get.content) == (b"", FILES[path])


@pytest.mark.parametrize(
    "revision",
    ["main", "refs%2Fheads%2Fmain", "v1.0", "refs%2Ftags%2Fv1.0"],
)
def test_a_branch_or_tag_is_answered_with_our_commit(
    hub: TestClient, tiny: Manifest, revision: str
) -> None:
    answer = hub.head(url("config.json", revision))
    assert answer.headers["x-repo-commit"] == tiny.commit
    assert answer.headers["cache-control"] == "private, no-cache"


def test_a_branch_may_have_a_slash(hub: TestClient, store: Store, tiny: Manifest) -> None:
    store.move(REPO, Ref("heads", "fix/it"), tiny.commit, expected=None, by="a", why="b")
    assert hub.get(url("config.json", "fix%2Fit")).content == FILES["config.json"]


def test_a_40_hex_id_is_echoed(hub: TestClient, tiny: Manifest) -> None:
    for asked in (tiny.commit, UPSTREAM):
        answer = hub.head(url("config.json", asked))
        assert answer.headers["x-repo-commit"] == asked
        assert "immutable" in answer.headers["cache-control"]


def test_ids_compare_without_case(hub: TestClient) -> None:
    assert hub.head("/ACME/tiny-model/resolve/main/config.json").status_code == 200


def test_the_file_name_is_told(hub: TestClient) -> None:
    plain = hub.head(url("1_Pooling/config.json")).headers["content-disposition"]
    assert plain == "inline; filename*=UTF-8''config.json; filename=\"config.json\";"
    accented = hub.head(url("na%C3%AFve%20name.txt")).headers["content-disposition"]
    assert (
        accented == "inline; filename*=UTF-8''na%C3%AFve%20name.txt; filename=\"na_ve name.txt\";"
    )


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000-", 1000, 1024),
        ("bytes=1000-9999999", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-5000", 0, 1024),
    ],
)
def test_a_range(hub: TestClient, asked: str, begin: int, end: int) -> None:
    answer = hub.get(url("model.safetensors"), headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == WEIGHTS[begin:end]
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/1024"
    assert answer.headers["content-length"] == str(end - begin)


@pytest.mark.parametrize(
    "asked", ["bytes=9-3", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes= 1-2"]
)
def test_what_is_no_single_range_gives_the_whole_file(hub: TestClient, asked: str) -> None:
    answer = hub.get(url("model.safetensors"), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, WEIGHTS)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("model.safetensors", "bytes=1024-"),
        ("model.safetensors", "bytes=-0"),
        ("empty.txt", "bytes=0-"),
    ],
)
def test_a_range_behind_the_end(hub: TestClient, path: str, asked: str) -> None:
    answer = hub.get(url(path), headers={"Range": asked})
    size = len(FILES[path])
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert answer.json() == {"error": f"the file has only {size} bytes"}


def test_if_range_of_another_version_gives_the_whole_file(hub: TestClient) -> None:
    tag = hub.head(url("model.safetensors")).headers["etag"]
    for known, status in ((tag, 206), ('"other"', 200)):
        headers = {"Range": "bytes=0-9", "If-Range": known}
        assert hub.get(url("model.safetensors"), headers=headers).status_code == status


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"x", "{}"', "{}"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(
    hub: TestClient, tiny: Manifest, method: str, form: str
) -> None:
    tag = hub.head(url("config.json")).headers["etag"].strip('"')
    headers = {"If-None-Match": form.format(tag)}
    answer = hub.request(method, url("config.json"), headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{tag}"'
    assert answer.headers["x-repo-commit"] == tiny.commit


def test_what_changed_is_sent(hub: TestClient) -> None:
    answer = hub.get(url("config.json"), headers={"If-None-Match": '"another"'})
    assert answer.content == FILES["config.json"]


# Redirects.


@pytest.fixture
def redirecting(serve: Serve, backend: Watched, tiny: Manifest) -> TestClient:  # noqa: ARG001
    backend.presigned = "https://s3.example"
    return serve(presign_seconds=600)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_a_redirect_tells_all_about_the_file(
    redirecting: TestClient, tiny: Manifest, method: str, path: str
) -> None:
    answer = redirecting.request(method, url(path))
    entry = tiny.by_path[path]
    digest = digests.hex_of(entry.digest)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"https://s3.example/blobs/sha256/{digest}?")
    assert "expires=600" in answer.headers["location"]
    assert answer.headers["x-repo-commit"] == tiny.commit
    assert answer.headers["x-linked-etag"] == f'"{entry.git_oid or digest}"'
    assert answer.headers["x-linked-size"] == str(entry.size)
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("w-hub.prod.svc", True),
        ("w-hub.prod.svc.cluster.local:8080", True),
        ("w-hub", True),
        ("w-hub.prod", True),
        ("w-hub.example.com", False),
        ("w", False),
        ("models.example.com", False),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_who_asks_by_the_internal_name_is_sent_to_the_internal_place(
    host: str, inside: bool, serve: Serve, backend: Watched
) -> None:
    backend.presigned = "https://s3.example"
    hub = serve(internal_host="w-hub.prod.svc")
    location = hub.get(url("config.json"), headers={"Host": host}).headers["location"]
    assert location.startswith("http://inside.example/") is inside


def test_the_length_of_a_redirect_is_not_taken_for_the_files(redirecting: TestClient) -> None:
    assert "content-length" not in redirecting.head(url("config.json")).headers


def test_a_redirect_of_a_known_commit_asks_nothing_of_the_store(
    redirecting: TestClient, backend: Watched, tiny: Manifest
) -> None:
    redirecting.head(url("config.json", tiny.commit))
    backend.calls.clear()
    assert redirecting.get(url("model.safetensors", tiny.commit)).status_code == 302
    assert backend.calls == []


@pytest.mark.usefixtures("tiny")
def test_proxy_streams_what_could_be_redirected(serve: Serve, backend: Watched) -> None:
    backend.presigned = "https://s3.example"
    answer = serve(delivery="proxy").get(url("model.safetensors"))
    assert (answer.status_code, answer.content) == (200, WEIGHTS)


# Above 50 GB: the stock client refuses a file whose size it knows.


@pytest.fixture
def giants(store: Store) -> Manifest:
    """Two files around the limit that take no room on the disk."""
    sizes = {"fits.safetensors": LARGE, "giant.safetensors": LARGE + 1}
    files = [File(name, digests.of(name.encode()), size) for name, size in sizes.items()]
    manifest = Manifest.of([*files, file("config.json", b"{}")])
    store.add_revision(REPO, manifest)
    for entry in files:
        path = store.backend.local_path(f"blobs/sha256/{digests.hex_of(entry.digest)}")
        assert path
        with path.open("wb") as stream:
            stream.truncate(entry.size)
    return manifest


def test_no_size_is_stated_above_50_gb(serve: Serve, backend: Watched, giants: Manifest) -> None:
    streaming = serve(delivery="proxy")
    fits = streaming.head(url("fits.safetensors", giants.commit))
    giant = streaming.head(url("giant.safetensors", giants.commit))
    assert fits.headers["content-length"] == str(LARGE)
    assert giant.status_code == 200
    assert "content-length" not in giant.headers
    backend.presigned = "https://s3.example"
    redirecting = serve()
    fits = redirecting.head(url("fits.safetensors", giants.commit))
    giant = redirecting.head(url("giant.safetensors", giants.commit))
    assert fits.headers["x-linked-size"] == str(LARGE)
    assert "x-linked-size" not in giant.headers
    assert "content-length" not in giant.headers
    assert giant.headers["x-linked-etag"]


def test_the_end_of_a_giant_can_be_read(serve: Serve, giants: Manifest) -> None:
    answer = serve().get(url("giant.safetensors", giants.commit), headers={"Range": "bytes=-3"})
    assert (answer.status_code, answer.content) == (206, b"\0\0\0")
    assert answer.headers["content-range"] == f"bytes {LARGE - 2}-{LARGE}/{LARGE + 1}"


# What is wrong in the store.


def test_a_blob_that_is_missing(hub: TestClient, store: Store, tiny: Manifest) -> None:
    digest = tiny.by_path["config.json"].digest
    path = store.backend.local_path(f"blobs/sha256/{digests.hex_of(digest)}")
    assert path
    path.unlink()
    answer = hub.get(url("config.json"))
    assert answer.status_code == 500
    assert digest in answer.json()["error"]


def test_a_blob_that_ends_early_is_not_sent_as_whole(
    hub: TestClient, store: Store, tiny: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    digest = digests.hex_of(tiny.by_path["model.safetensors"].digest)
    path = store.backend.local_path(f"blobs/sha256/{digest}")
    assert path
    path.write_bytes(WEIGHTS[:100])
    answer = hub.get(url("model.safetensors"))
    assert (answer.headers["content-length"], len(answer.content)) == ("1024", 100)
    assert "stopped in the middle of" in caplog.text
