"""Keycloak, its database and a gateway that asks for tokens, as real containers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.compose.containers import Room, room
from tests.integration.compose.test_podman import WAYBILL
from tests.integration.gateway.certificates import Authority
from tests.pages import DOCS, REPO, blocks
from tests.services import needs

pytestmark = pytest.mark.timeout(900)
HOST = "room.example.internal"
TOKENS = f"https://{HOST}:8443/realms/waybill/protocol/openid-connect/token"
MODELS = f"https://{HOST}/v1/models"
PODMAN = """services:
  gateway: {healthcheck: {start_interval: !reset null}}
  keycloak: {healthcheck: {start_interval: !reset null}}
  keycloak-postgresql: {healthcheck: {start_interval: !reset null}}
networks:
  published-gateway: {driver_opts: !reset null}
  published-keycloak: {driver_opts: !reset null}
"""


@dataclass(frozen=True)
class Identity:
    room: Room
    out: Path

    def curl(self, *words: str) -> str:
        """As the host asks, which the certificates are for."""
        here = [f"{HOST}:{port}:127.0.0.1" for port in (443, 8443)]
        found = [word for place in here for word in ("--resolve", place)]
        trusted = ("--cacert", self.out / "config/room-ca/ca.crt")
        return self.room.run("curl", "-sS", "--max-time", "30", *trusted, *found, *words).stdout

    def token(self) -> str:
        secret = self.out / "secrets/waybill-oidc-gateway"
        name, word = ((secret / key).read_text() for key in ("clientId", "clientSecret"))
        form = ("-d", "grant_type=client_credentials", "--user", f"{name}:{word}")
        token: str = json.loads(self.curl(*form, TOKENS))["access_token"]
        return token


def values() -> str:
    """The page's own, for an authority of one's own, and a store without a server."""
    own, *_ = blocks((DOCS / "compose.md").read_text(), "Tokens", ("yaml",))
    content = yaml.safe_load(own)
    # Debian 12 has this one.
    content["keycloak"]["postgresql"] = {"image": {"tag": "15"}}
    content["global"] |= {
        "imageRegistry": "waybill.local",
        "caBundle": {"existingConfigMap": "room-ca"},
    }
    return yaml.safe_dump({**content, "minio": {"enabled": False}, "modelHub": {"enabled": False}})


def certify(out: Path) -> None:
    """Where the command says that the files belong."""
    authority = Authority.new()
    places = {"config/room-ca": {"ca.crt": authority.pem}}
    places |= {f"secrets/{name}": authority.issue(HOST) for name in ("login-tls", "models-tls")}
    for place, files in places.items():
        (out / place).mkdir(parents=True)
        for name, text in files.items():
            (out / place / name).write_text(text)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identity]:
    project = tmp_path_factory.mktemp("room")
    out = project / "out"
    (project / "values").mkdir()
    (project / "values/environments.yaml").write_text('{"environments": {"room": {"store": "s"}}}')
    (project / "values/room.yaml").write_text(values())
    doors = ("--publish", "gateway=443", "--publish", "keycloak=8443")
    write = (WAYBILL, "compose", "room", "--out", out, "--chart", REPO / "charts/waybill", *doors)
    helm = {"WAYBILL_HELM": needs("WAYBILL_TEST_HELM4")}
    with room(needs("WAYBILL_TEST_PODMAN"), tmp_path_factory.mktemp("tokens")) as found:
        lacking = found.run(*write, cwd=project, env=helm, check=False)
        assert "out/config/room-ca, " in lacking.stderr
        certify(out)
        found.run(*write, cwd=project, env=helm)
        (out / "podman.yaml").write_text(PODMAN)
        found.bring(project, "--env=room")
        found.up(out, "keycloak-postgresql")
        found.await_health("keycloak-postgresql")
        found.up(out, "keycloak-build", "keycloak")
        found.await_health("keycloak", seconds=300)
        found.up(out, "keycloak-realm", "gateway")
        found.await_health("gateway")
        yield Identity(found, out)


def test_who_has_a_token_of_keycloak_is_let_in(identity: Identity) -> None:
    status = ("-o", "/dev/null", "-w", "%{http_code}")
    assert identity.curl(*status, MODELS) == "401"
    bearer = f"Authorization: Bearer {identity.token()}"
    assert json.loads(identity.curl("-H", bearer, MODELS))["object"] == "list"
    assert identity.curl(*status, "-H", f"{bearer}x", MODELS) == "401"


def test_the_database_is_reached_by_keycloak_alone(identity: Identity) -> None:
    ask = ("timeout", "5", "sh", "-c", "</dev/tcp/waybill-keycloak-postgresql.waybill.svc/5432")
    bash = tuple("bash" if word == "sh" else word for word in ask)
    found = {
        name: identity.room.podman("exec", f"waybill_{name}_1", *bash, check=False).returncode
        for name in ("keycloak", "gateway")
    }
    assert found["keycloak"] == 0
    assert found["gateway"] != 0
