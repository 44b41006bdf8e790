"""Alive at once; ready when the store has been reached, and from then on; what it gives."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Serve, Watched
from tests.unit.hub.models import REPO, UPSTREAM
from waybill.errors import StoreUnreachable
from waybill.manifest import Manifest
from waybill.store.store import Store


def test_ready_once_the_store_was_reached(serve: Serve, backend: Watched) -> None:
    hub = serve()
    backend.failure = StoreUnreachable(url="s3://b", why="not yet")
    assert hub.get("/healthz").json() == {"status": "ok"}
    answer = hub.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    backend.failure = None
    assert hub.get("/readyz").status_code == 200
    backend.failure = StoreUnreachable(url="s3://b", why="lost")
    assert hub.get("/readyz").json() == {"status": "ready"}


def test_a_place_that_is_no_store(serve: Serve, store: Store) -> None:
    path = store.backend.local_path("store.json")
    assert isinstance(path, Path)
    path.unlink()
    hub = serve()
    for url in ("/readyz", "/api/models/a/b", f"/api/models/a/b/revision/{'0' * 40}"):
        answer = hub.get(url)
        assert answer.status_code == 503
        assert "is not a Waybill store" in answer.json()["error"]


def test_a_directory_that_is_no_longer_mounted(
    serve: Serve, store: Store, tiny: Manifest, tmp_path: Path
) -> None:
    hub = serve()
    config = f"/{REPO}/resolve/{tiny.commit}/config.json"
    assert hub.get("/readyz").status_code == 200
    assert hub.get(config).status_code == 200
    root = store.backend.local_path("")
    assert root
    root.rename(tmp_path / "away")
    root.mkdir()
    api = f"/api/models/{REPO}"
    for url in (config, api, f"{api}/refs", f"{api}/tree/v1.0", f"{api}/revision/{'0' * 40}"):
        answer = hub.get(url)
        assert answer.status_code == 503, url
        assert answer.headers["retry-after"] == "5"
        assert "is not a Waybill store" in answer.json()["error"]
    # What is in memory still answers.
    assert hub.head(config).status_code == 200
    root.rmdir()
    (tmp_path / "away").rename(root)
    assert hub.get(config).status_code == 200


def test_who_knows_commit_and_digest_is_told_without_a_token(
    guarded: TestClient, tiny: Manifest
) -> None:
    place, digest = f"/readyz/{REPO}/{tiny.commit}", tiny.descriptor.digest
    assert guarded.get(f"{place}/{digest}").json() == {"status": "ready"}
    assert guarded.get(f"/readyz/{REPO}/{UPSTREAM}/{digest}").status_code == 200
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    for path in (
        f"{place}/{other}",
        f"{place}/",
        f"/readyz/{REPO}/main/{digest}",
        f"/readyz/{REPO}/{'0' * 40}/{digest}",
        f"/readyz/acme/other/{tiny.commit}/{digest}",
    ):
        assert guarded.get(path).status_code == 404, path


@pytest.mark.parametrize("path", ["//api/models", "/../api/models", "/%2e%2e/api/models"])
def test_nothing_else_is_open_below_it(guarded: TestClient, path: str, tiny: Manifest) -> None:
    answer = guarded.get(f"/readyz{path}/{REPO}")
    assert answer.status_code in (401, 404)
    assert tiny.commit not in answer.text
