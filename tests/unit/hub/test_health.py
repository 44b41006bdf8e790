"""Alive at once; ready when the store has been reached, and from then on; what it gives."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Serve, Watched
from tests.unit.hub.models import REPO, UPSTREAM
from tests.unit.sign.making import asking, signer
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
    answers = [
        guarded.get(path)
        for path in (
            f"{place}/{other}",
            f"/readyz/{REPO}/{'0' * 40}/{digest}",
            f"/readyz/acme/other/{tiny.commit}/{digest}",
            f"/readyz/-/-/{tiny.commit}/{digest}",
        )
    ]
    assert {(one.status_code, one.text) for one in answers} == {(404, '{"status":"not given"}')}
    assert not any(name.startswith("x-error") for one in answers for name in one.headers)


def test_who_asks_for_what_is_not_trusted_is_told_nothing_of_it(
    serve: Serve, tiny: Manifest, tmp_path: Path
) -> None:
    hub = serve(trust=str(asking(tmp_path / "trust.yaml", signer())))
    assert hub.get(f"/api/models/{REPO}/revision/{tiny.commit}").status_code == 403
    answer = hub.get(f"/readyz/{REPO}/{tiny.commit}/{tiny.descriptor.digest}")
    assert (answer.status_code, answer.json()) == (404, {"status": "not given"})


@pytest.mark.parametrize(
    "path",
    [
        "/readyz//api/models/{repo}",
        "/readyz/../api/models/{repo}",
        "/readyz/%2e%2e/api/models/{repo}",
        "/readyz/{repo}/main/{digest}",
        "/readyz/{repo}/{commit}/",
        "/readyz/m/resolve/main/config.json",
        "/readyz/m/resolve/main/onnx/model.onnx",
        "/readyz/m/resolve/{commit}/{digest}/more",
    ],
)
def test_nothing_else_is_open_below_it(guarded: TestClient, path: str, tiny: Manifest) -> None:
    """Not even where a repo's owner is called like it."""
    digest = tiny.descriptor.digest
    answer = guarded.get(path.format(repo=REPO, commit=tiny.commit, digest=digest))
    assert answer.status_code == 401
