"""The chart's realm in a real Keycloak: made, kept, mended, and what its clients then get."""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chart.rendering import helm_template, named
from tests.faults import CUT, LOSE, REFUSE, faulty
from tests.keycloak import ADMIN, Keycloak
from tests.printed import result
from waybill.cli.main import main
from waybill.deliver.keycloak import Administrator
from waybill.deliver.keycloak import Keycloak as Api

CHALLENGE = {
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


@dataclass
class World:
    """A realm of the test's own: its file, its server, and how the command is run."""

    server: Keycloak
    api: Api
    realm: str
    file: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"{self.server.url}/realms/{self.realm}"

    def provision(self, url: str = "", wait: int = 60) -> tuple[int, str, str]:
        for name, value in self.environment.items():
            self.monkeypatch.setenv(name, value)
        command = ["provision", "realm", "--json", f"--config={self.file}", f"--wait={wait}"]
        code = main([*command, f"--url={url or self.server.url}"])
        said = self.capsys.readouterr()
        assert not [key for key in self.hidden if key in said.out + said.err]
        return code, said.out, said.err

    def did(self) -> tuple[list[str], list[str]]:
        """What a run made and changed."""
        code, out, err = self.provision()
        assert code == 0, err
        done = result(out)
        return done["made"], done["changed"]

    @property
    def hidden(self) -> list[str]:
        return [
            value
            for name, value in self.environment.items()
            if name.endswith(("PASSWORD", "SECRET"))
        ]

    def edit(self, **settings: Any) -> None:
        self.file.write_text(json.dumps(json.loads(self.file.read_text()) | settings))

    def find(self, kind: str, key: str, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.api.get(self.realm, kind) if one[key] == name]
        return dict(found)

    def ask(self, what: str, **form: str) -> httpx.Response:
        address = f"{self.issuer}/protocol/openid-connect/{what}"
        return self.server.http.post(address, data=form)

    def sign_in(self) -> httpx.Response:
        client = self.environment["WAYBILL_GATEWAY_CLIENT_ID"]
        secret = self.environment["WAYBILL_GATEWAY_CLIENT_SECRET"]
        form = {"client_id": client, "client_secret": secret}
        return self.ask("token", grant_type="client_credentials", **form)

    def claims(self) -> dict[str, Any]:
        payload = self.sign_in().raise_for_status().json()["access_token"].split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return claims

    def join(self, group: str) -> None:
        """As an administrator does in the console: the gateway's account enters a group."""
        client = self.find("clients", "clientId", "waybill-gateway")["id"]
        user = self.api.get(self.realm, "clients", client, "service-account-user")["id"]
        at = self.find("groups", "name", group)["id"]
        self.api.put(self.realm, "users", user, "groups", at, body={})


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    values = tmp_path_factory.mktemp("values") / "values.yaml"
    values.write_text("global: {oidc: {groupsClaim: teams}}")
    realm = named(helm_template([str(values)], "t", "ns", 4, ""), "ConfigMap", "keycloak-realm")
    return dict(json.loads(realm["data"]["realm.json"]))


@pytest.fixture(scope="module")
def shared() -> str:
    """One realm for all tests: every run brings it back to what its file says."""
    return f"waybill-{secrets.token_hex(4)}"


@pytest.fixture
def world(
    keycloak: Keycloak,
    rendered: dict[str, Any],
    shared: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[World]:
    file = tmp_path / "realm.json"
    file.write_text(json.dumps(rendered | {"realm": shared}))
    environment = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": keycloak.password,
        "WAYBILL_GATEWAY_CLIENT_ID": "waybill-gateway",
        "WAYBILL_GATEWAY_CLIENT_SECRET": secrets.token_hex(16),
    }
    with Api(keycloak.url, Administrator(ADMIN, keycloak.password)) as api:
        yield World(keycloak, api, shared, file, monkeypatch, capsys, environment)


@pytest.fixture
def fresh(world: World) -> World:
    """A world with a realm that is not there yet."""
    world.realm = f"waybill-{secrets.token_hex(4)}"
    world.edit(realm=world.realm)
    return world


def test_a_second_run_changes_nothing(fresh: World) -> None:
    made, changed = fresh.did()
    assert made[0] == f"realm {fresh.realm}"
    assert {"role publisher", "group admin", "client waybill-cli"} < set(made)
    assert changed == []
    assert fresh.did() == ([], [])


def test_a_service_gets_both_audiences_its_groups_and_no_more(world: World) -> None:
    world.did()
    world.join("promoter")
    claims = world.claims()
    assert claims["iss"] == world.issuer
    assert sorted(claims["aud"]) == ["waybill-gateway", "waybill-hub"]
    assert claims["azp"] == "waybill-gateway" and "promoter" in claims["teams"]
    assert "realm_access" not in claims and "resource_access" not in claims


def test_a_group_has_the_role_of_its_name(world: World) -> None:
    world.did()
    for name in ("reader", "publisher", "promoter", "admin"):
        group = world.find("groups", "name", name)["id"]
        roles = world.api.get(world.realm, "groups", group, "role-mappings", "realm")
        assert [role["name"] for role in roles] == [name]


def test_the_command_line_signs_in_by_device_and_only_with_proof(world: World) -> None:
    world.did()
    refused = world.ask("auth/device", client_id="waybill-cli")
    assert refused.status_code == 400 and "code_challenge" in refused.text
    started = world.ask("auth/device", client_id="waybill-cli", **CHALLENGE).raise_for_status()
    assert started.json()["verification_uri"] == f"{world.issuer}/device"


def test_a_changed_file_changes_the_realm(world: World) -> None:
    world.did()
    world.edit(accessTokenLifespan=123)
    assert world.did() == ([], [f"realm {world.realm}"])
    assert world.sign_in().json()["expires_in"] in (122, 123)


def test_what_people_make_stays(world: World) -> None:
    world.did()
    world.api.post(world.realm, "roles", body={"name": "auditor"})
    world.api.post(world.realm, "clients", body={"clientId": "notebook"})
    world.api.put(world.realm, body={"attributes": {"ours": "yes"}, "defaultLocale": "de"})
    world.join("reader")
    world.did()
    assert world.find("roles", "name", "auditor")
    assert world.find("clients", "clientId", "notebook")
    assert world.api.get(world.realm)["defaultLocale"] == "de"
    assert "reader" in world.claims()["teams"]


def test_what_people_break_is_mended(world: World) -> None:
    world.did()
    world.api.put(world.realm, body={"bruteForceProtected": False})
    client = world.find("clients", "clientId", "waybill-gateway")
    scope = world.find("client-scopes", "name", "waybill-hub")
    world.api.put(world.realm, "clients", client["id"], body=client | {"fullScopeAllowed": True})
    world.api.put(
        world.realm, "client-scopes", scope["id"], body=scope | {"description": "something"}
    )
    made, changed = world.did()
    assert made == []
    assert changed == [
        f"realm {world.realm}",
        "client scope waybill-hub",
        "client waybill-gateway",
    ]
    assert world.api.get(world.realm)["bruteForceProtected"] is True


def test_a_client_that_was_there_before_gets_its_scopes(fresh: World) -> None:
    fresh.api.post(body={"realm": fresh.realm, "enabled": True})
    fresh.api.post(fresh.realm, "clients", body={"clientId": "waybill-gateway"})
    _, changed = fresh.did()
    assert "client waybill-gateway" in changed
    assert {"waybill-gateway", "waybill-hub"} <= set(fresh.claims()["aud"])
    assert fresh.did() == ([], [])


def test_a_new_secret_replaces_the_old(world: World) -> None:
    world.did()
    old = dict(world.environment)
    world.environment["WAYBILL_GATEWAY_CLIENT_SECRET"] = secrets.token_hex(16)
    assert world.did() == ([], ["client waybill-gateway"])
    assert world.sign_in().status_code == 200
    world.environment |= old
    assert world.sign_in().status_code == 401


def test_a_wrong_password_is_said_without_it(world: World) -> None:
    world.environment["KC_BOOTSTRAP_ADMIN_PASSWORD"] = "not-the-password"
    code, _, err = world.provision()
    assert code == 1
    assert "refuses to sign its administrator in: 400" in err
    assert "Invalid user credentials" in err


def test_what_keycloak_does_not_take_is_said(world: World) -> None:
    world.edit(clients=[{"clientId": "bad", "redirectUris": ["javascript:alert(1)"]}])
    code, _, err = world.provision()
    assert code == 1
    assert f"POST /admin/realms/{world.realm}/clients: 400" in err


@pytest.mark.parametrize(
    ("fault", "method", "after"), [(REFUSE, "POST", 0), (LOSE, "POST", 4), (CUT, "GET", 12)]
)
def test_a_connection_lost_anywhere_costs_nothing(
    fresh: World, fault: str, method: str, after: int
) -> None:
    with faulty(fresh.server.url) as proxy:
        proxy.next(fault, lambda asked, _path: asked == method and len(proxy.seen) > after)
        code, _, err = fresh.provision(proxy.endpoint)
        assert code == 0, err
        assert "trying again" in err
    assert fresh.did() == ([], [])


def test_a_sign_in_that_ended_is_renewed(world: World) -> None:
    world.did()
    known = world.api.get("master")["accessTokenLifespan"]
    world.api.put("master", body={"accessTokenLifespan": 1})
    try:
        with faulty(world.server.url) as proxy:
            admin = Administrator(ADMIN, world.server.password)
            with Api(proxy.endpoint, admin) as short:
                assert short.get(world.realm)["realm"] == world.realm
                time.sleep(2)
                assert short.get(world.realm)["realm"] == world.realm
            assert proxy.count(lambda _method, path: path.endswith("/token")) == 2
    finally:
        with Api(world.server.url, Administrator(ADMIN, world.server.password)) as again:
            again.put("master", body={"accessTokenLifespan": known})
