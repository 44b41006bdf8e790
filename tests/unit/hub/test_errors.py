"""The error contract: code, message, body and id of every failure."""

import logging

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Serve, Watched
from tests.unit.hub.models import FILES, REPO, UPSTREAM
from waybill.errors import AccessDenied, StoreUnreachable
from waybill.manifest import Manifest

API = f"/api/models/{REPO}"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nobody/nothing/resolve/main/config.json", "RepoNotFound"),
        ("/gpt2/resolve/main/config.json", "RepoNotFound"),
        ("/a--b/c/resolve/main/config.json", "RepoNotFound"),
        ("/api/models/nobody/nothing", "RepoNotFound"),
        ("/api/models/gpt2", "RepoNotFound"),
        ("/api/models/gpt2/revision/main", "RepoNotFound"),
        ("/api/models/nobody/nothing/refs", "RepoNotFound"),
        ("/api/models/nobody/nothing/tree/main", "RepoNotFound"),
        (f"/{REPO}/resolve/dev/config.json", "RevisionNotFound"),
        (f"/{REPO}/resolve/{'0' * 40}/config.json", "RevisionNotFound"),
        (f"/{REPO}/resolve/refs%2Fpr%2F1/config.json", "RevisionNotFound"),
        (f"/{REPO}/resolve/refs%2Ftags%2Fmain/config.json", "RevisionNotFound"),
        (f"/{REPO}/resolve/refs%2Fheads%2Fv1.0/config.json", "RevisionNotFound"),
        (f"/{REPO}/resolve/..%2F..%2Fmain/config.json", "RevisionNotFound"),
        (f"{API}/revision/dev", "RevisionNotFound"),
        (f"{API}/tree/dev", "RevisionNotFound"),
        (f"/{REPO}/resolve/main/tokenizer.json", "EntryNotFound"),
        (f"/{REPO}/resolve/main/deep", "EntryNotFound"),
        (f"/{REPO}/resolve/main/..%2F..%2F..%2Fstore.json", "EntryNotFound"),
        (f"/{REPO}/resolve/main/%2Fetc%2Fpasswd", "EntryNotFound"),
        (f"{API}/tree/main/additional_chat_templates", "EntryNotFound"),
        (f"{API}/tree/main/config.json", "EntryNotFound"),
    ],
)
def test_what_is_not_found(hub: TestClient, path: str, code: str) -> None:
    answer = hub.get(path)
    assert answer.status_code == 404
    assert answer.headers["x-error-code"] == code
    assert answer.headers["x-error-message"] == answer.json()["error"]
    assert answer.headers["x-request-id"]


def test_a_missing_file_is_told_with_the_commit(hub: TestClient, tiny: Manifest) -> None:
    for revision, sha in (("main", tiny.commit), (UPSTREAM, UPSTREAM)):
        answer = hub.head(f"/{REPO}/resolve/{revision}/tokenizer.json")
        assert answer.headers["x-error-code"] == "EntryNotFound"
        assert answer.headers["x-repo-commit"] == sha


def test_a_message_fits_into_a_header(hub: TestClient) -> None:
    answer = hub.get(f"/{REPO}/resolve/main/%E6%A8%A1%0d%0aX-Evil:%201")
    assert answer.status_code == 404
    assert "x-evil" not in answer.headers
    assert answer.headers["x-error-message"].isascii()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/agent-harnesses",
        "/api/telemetry/some/where",
        "/api/models",
        f"{API}/commits/main",
        f"{API}/",
        "/datasets/a/b/resolve/main/x",
    ],
)
def test_what_is_not_served_costs_nothing(hub: TestClient, backend: Watched, path: str) -> None:
    backend.calls.clear()
    answer = hub.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})
    assert "x-error-code" not in answer.headers
    assert backend.calls == []


def test_another_method_is_refused(hub: TestClient) -> None:
    answer = hub.post(f"/{REPO}/resolve/main/config.json")
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})


def test_the_clients_id_comes_back(hub: TestClient) -> None:
    for name in ("X-Amzn-Trace-Id", "X-Request-Id"):
        assert hub.get("/healthz", headers={name: "abc-1"}).headers["x-request-id"] == "abc-1"
    assert hub.get("/healthz", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


def test_a_store_that_is_lost_later(hub: TestClient, backend: Watched, tiny: Manifest) -> None:
    assert hub.head(f"/{REPO}/resolve/{tiny.commit}/config.json").status_code == 200
    backend.failure = StoreUnreachable(url="s3://b", why="gone")
    for path in (f"/{REPO}/resolve/main/config.json", f"{API}/refs", f"{API}/tree/main"):
        answer = hub.get(path)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json() == {"error": "the store s3://b cannot be reached: gone"}
    # What is in memory still answers; the bytes themselves are not.
    assert hub.head(f"/{REPO}/resolve/{tiny.commit}/config.json").status_code == 200
    assert hub.get(f"{API}/revision/{tiny.commit}").json()["sha"] == tiny.commit
    assert hub.get(f"/{REPO}/resolve/{tiny.commit}/config.json").status_code == 503
    backend.failure = None
    assert hub.get(f"/{REPO}/resolve/main/config.json").content == FILES["config.json"]


def test_refused_credentials_are_no_missing_repo(hub: TestClient, backend: Watched) -> None:
    backend.failure = AccessDenied(url="s3://b", why="403")
    answer = hub.get(f"{API}/revision/main")
    assert answer.status_code == 503
    assert "x-error-code" not in answer.headers


def test_a_bug_is_told_as_json(serve: Serve, backend: Watched) -> None:
    hub = serve(errors=False)
    backend.failure = ZeroDivisionError("secret")
    answer = hub.get(f"{API}/revision/main")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"]


def test_one_line_a_request_without_secrets(
    hub: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waybill.hub.requests")
    hub.get(
        f"/{REPO}/resolve/main/config.json?X-Amz-Signature=hidden",
        headers={"Authorization": "Bearer hf_hidden", "X-Request-Id": "id-1"},
    )
    (line,) = [r.getMessage() for r in caplog.records if r.name == "waybill.hub.requests"]
    assert line.startswith(f"GET /{REPO}/resolve/main/config.json 200 23 B ")
    assert line.endswith(" ms id-1")
    assert "hidden" not in caplog.text


def test_a_path_cannot_forge_a_line_of_the_log(
    hub: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waybill.hub.requests")
    hub.get("/x%0aGET%20/forged")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "waybill.hub.requests"]
    assert "%0a" in line.lower()
    assert "\n" not in line
