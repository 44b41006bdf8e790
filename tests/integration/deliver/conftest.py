"""A real MinIO, provisioned by the command that the Job runs."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.printed import printed
from tests.services import Minio
from waybill.cli.main import main
from waybill.deliver.provision_objectstore import ROOT, USERS, Keys
from waybill.store.connect import Access, connect
from waybill.store.store import Store


@dataclass(frozen=True)
class Place:
    """A store to come on a server, and the folders of keys as the Job has them mounted."""

    server: Minio
    url: str
    folder: Path

    def give(self, **keys: Keys) -> None:
        for user, of_user in keys.items():
            home = self.folder / user
            home.mkdir(parents=True, exist_ok=True)
            (home / "AWS_ACCESS_KEY_ID").write_text(of_user.access)
            (home / "AWS_SECRET_ACCESS_KEY").write_text(of_user.secret + "\n")

    def keys(self, user: str) -> Keys:
        return Keys.read(self.folder / user)

    def profiles(self) -> Path:
        """A credentials file with a profile for each user."""
        path = self.folder / "profiles"
        path.write_text("".join(_profile(user, self.keys(user)) for user in (ROOT, *USERS)))
        return path

    def store(self, user: str) -> Store:
        return connect(self.url, Access(self.server.endpoint, user))

    def arguments(self, wait: float = 0) -> list[str]:
        where = ["--endpoint", self.server.endpoint, "--credentials", str(self.folder)]
        return ["provision", "object-store", self.url, *where, "--wait", str(wait), "--json"]


def _profile(user: str, keys: Keys) -> str:
    access, secret = keys.access, keys.secret
    return f"[{user}]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"


def new_keys(user: str) -> Keys:
    return Keys(f"{user}-{secrets.token_hex(3)}", secrets.token_hex(20))


def new_place(server: Minio, folder: Path, prefix: str = "models") -> Place:
    place = Place(server, f"s3://provisioned-{secrets.token_hex(6)}/{prefix}", folder)
    place.give(root=Keys(server.access_key, server.secret_key))
    place.give(**{user: new_keys(user) for user in USERS})
    return place


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="package")
def ready(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Provisioned, and made a store with the keys of the sideload user, as the Job does."""
    place = new_place(minio, tmp_path_factory.mktemp("keys"))
    assert main(place.arguments()) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(place.profiles()))
        assert main(["store", "init", place.url, *reach(place, "sideload")]) == 0
    return place


def reach(place: Place, user: str) -> list[str]:
    return ["--endpoint", place.server.endpoint, "--profile", user]


@pytest.fixture
def place(ready: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(ready.profiles()))
    return ready


Provision = Callable[[Place], Mapping[str, Any]]


@pytest.fixture
def provision(capsys: pytest.CaptureFixture[str]) -> Provision:
    """The command's whole answer, good or bad."""

    def run(place: Place) -> Mapping[str, Any]:
        capsys.readouterr()
        main(place.arguments())
        return printed(capsys.readouterr().out)

    return run
