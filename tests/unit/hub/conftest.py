"""A hub in this process over a real directory store, open or with a token asked for."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.issuing import Issuing, issuing
from tests.unit.hub.models import fill, new_store
from waybill.hub import keys
from waybill.hub.app import create_app
from waybill.hub.settings import Settings
from waybill.manifest import Manifest
from waybill.store.base import Backend
from waybill.store.store import Store

Serve = Callable[..., TestClient]


class Watched:
    """A backend that counts the calls, and fails all of them while `failure` is set."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.url = backend, backend.url
        self.failure: Exception | None = None
        self.calls: list[str] = []
        self.presigned: str | None = None

    def __getattr__(self, name: str) -> object:
        if name == "presign":
            return self._presign
        method = getattr(self._backend, name)

        def call(*args: object) -> object:
            self.calls.append(name)
            if self.failure:
                raise self.failure
            return method(*args)

        return call

    def _presign(
        self, key: str, expires: int, headers: dict[str, str], inside: bool = False
    ) -> str | None:
        if self.presigned is None:
            return None
        place = "http://inside.example" if inside else self.presigned
        return f"{place}/{key}?expires={expires}&type={headers['content-type']}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Written once: a store waits for the disk at every step."""
    folder = tmp_path_factory.mktemp("tiny")
    return folder / "store", fill(new_store(folder))


@pytest.fixture
def tiny(store: Store, filled: tuple[Path, Manifest]) -> Manifest:
    folder, manifest = filled
    target = store.backend.local_path("")
    assert target
    shutil.copytree(folder, target, dirs_exist_ok=True)
    return manifest


@pytest.fixture
def backend(store: Store) -> Watched:
    return Watched(store.backend)


@pytest.fixture
def serve(backend: Watched) -> Iterator[Serve]:
    """A client of a hub with the given settings; redirects are not followed."""
    with ExitStack() as stack:

        def start(*, errors: bool = True, **settings: object) -> TestClient:
            app = create_app(Store(backend), Settings(**settings))  # type: ignore[arg-type]
            client = TestClient(app, follow_redirects=False, raise_server_exceptions=errors)
            return stack.enter_context(client)

        yield start


@pytest.fixture
def hub(serve: Serve, tiny: Manifest) -> TestClient:  # noqa: ARG001
    """A hub over the tiny model that streams, as every hub over a directory does."""
    return serve()


@pytest.fixture
def issuer() -> Iterator[Issuing]:
    with issuing() as server:
        yield server


@pytest.fixture
def trusting(serve: Serve, issuer: Issuing, tmp_path: Path) -> Callable[..., TestClient]:
    """A hub that trusts the issuer, whose entry in the file is changed as given."""

    def start(**changes: object) -> TestClient:
        path = tmp_path / "issuers.json"
        path.write_text(json.dumps({"issuers": [{**issuer.entry(), **changes}]}))
        return serve(auth="required", issuers_file=str(path))

    return start


@pytest.fixture
def guarded(trusting: Callable[..., TestClient]) -> TestClient:
    return trusting()


class Clock:
    """The clock of the keys; `now` is set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(keys, "monotonic", stopped)
    return stopped
