"""A real Keycloak with one realm: clients that sign in with a secret, and keys that rotate."""

import base64
import json
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.services import Secured, free_port, running

REALM = "waybill"
ADMIN = "admin"


@dataclass(frozen=True)
class Keycloak:
    url: str
    process: int
    """Of the group in which it runs."""
    password: str = field(repr=False)
    secret: str = field(repr=False)
    """Of all clients of the realm."""
    http: httpx.Client = field(repr=False)

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/{REALM}"

    def token(self, client: str) -> str:
        """An access token of the client's own account."""
        return self._token(REALM, "client_credentials", client_id=client, client_secret=self.secret)

    def rotate(self) -> None:
        """Makes a new key, with which Keycloak signs from now on."""
        login = {"client_id": "admin-cli", "username": ADMIN, "password": self.password}
        headers = {"Authorization": f"Bearer {self._token('master', 'password', **login)}"}
        admin = f"{self.url}/admin/realms/{REALM}"
        realm = self.http.get(admin, headers=headers).raise_for_status().json()
        config = {"priority": ["200"], "enabled": ["true"], "active": ["true"]}
        key = {
            "name": f"rotated-{secrets.token_hex(4)}",
            "parentId": realm["id"],
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {**config, "algorithm": ["RS256"], "keySize": ["2048"]},
        }
        self.http.post(f"{admin}/components", json=key, headers=headers).raise_for_status()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Takes connections and answers none."""
        os.killpg(self.process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process, signal.SIGCONT)

    def _token(self, realm: str, grant: str, **form: str) -> str:
        address = f"{self.url}/realms/{realm}/protocol/openid-connect/token"
        answer = self.http.post(address, data={"grant_type": grant, **form})
        token: str = answer.raise_for_status().json()["access_token"]
        return token


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    return header


def realm(secret: str) -> dict[str, Any]:
    """`engine` is meant for the hub, `stranger` for something else, `brief` lives a second."""
    return {
        "realm": REALM,
        "enabled": True,
        "sslRequired": "none",
        "clients": [
            _client("engine", secret, "waybill-hub"),
            _client("stranger", secret, "waybill-gateway"),
            {
                **_client("brief", secret, "waybill-hub"),
                "attributes": {"access.token.lifespan": "1"},
            },
        ],
    }


def _client(name: str, secret: str, audience: str) -> dict[str, Any]:
    return {
        "clientId": name,
        "secret": secret,
        "serviceAccountsEnabled": True,
        "standardFlowEnabled": False,
        "protocolMappers": [
            {
                "name": "audience",
                "protocol": "openid-connect",
                "protocolMapper": "oidc-audience-mapper",
                "config": {"included.custom.audience": audience, "access.token.claim": "true"},
            }
        ],
    }


@contextmanager
def keycloak_server(
    distribution: str, folder: Path, secured: Secured | None = None
) -> Iterator[Keycloak]:
    """From a copy, because Keycloak writes into its own folder."""
    home, port, management = folder / "keycloak", free_port(), free_port()
    shutil.copytree(distribution, home, symlinks=True)
    password, secret = secrets.token_hex(16), secrets.token_hex(16)
    imports = home / "data/import"
    imports.mkdir(parents=True)
    (imports / f"{REALM}.json").write_text(json.dumps(realm(secret)))
    env = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
    }
    options = {
        "http-host": secured.host if secured else "127.0.0.1",
        "http-management-port": management,
        "hostname-strict": "false",
        **_listening(port, secured),
    }
    # What else it is was decided when it was built: the file database, one process, health.
    command = [str(home / "bin/kc.sh"), "start", "--optimized", "--import-realm"]
    command += [f"--{name}={value}" for name, value in options.items()]
    base, trust = "http://127.0.0.1", None
    if secured:
        base, trust = f"https://{secured.host}", secured.trust
    health, log = f"{base}:{management}/health/ready", folder / "keycloak.log"
    with (
        running(command, env, log, health, 500, trust) as process,
        httpx.Client(trust_env=False, timeout=60, verify=trust or True) as http,
    ):
        yield Keycloak(f"{base}:{port}", process.pid, password, secret, http)


def _listening(port: int, secured: Secured | None) -> dict[str, object]:
    if secured is None:
        return {"http-port": port, "http-enabled": "true"}
    files = {
        "https-certificate-file": secured.certificate,
        "https-certificate-key-file": secured.key,
    }
    return {"https-port": port, **files}
