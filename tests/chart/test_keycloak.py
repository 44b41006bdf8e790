"""Keycloak as the chart runs it: its databases, its addresses, its realm, and what is refused."""

import json
from typing import Any

import pytest

from tests.chart.rendering import (
    Object,
    Refused,
    Render,
    containers,
    named,
    of_kind,
    pod_spec,
)

EXTERNAL = {
    "keycloak": {"database": {"mode": "external", "host": "db.example.com", "existingSecret": "db"}}
}
CA = {"global": {"caBundle": {"existingConfigMap": "ca"}}}
OPEN = {"global": {"network": {"policies": False}}}


def keycloak(**values: Any) -> dict[str, Any]:
    return {"keycloak": values}


def issuer(url: str) -> dict[str, Any]:
    return {"global": {"oidc": {"issuer": url}}}


def environment(workload: Object) -> dict[str, Any]:
    """Plain values as they are; of a Secret's, its name and key."""
    return {
        one["name"]: one.get("value") or tuple(one["valueFrom"]["secretKeyRef"].values())
        for one in containers(workload)[-1]["env"]
    }


def realm(objects: list[Object]) -> dict[str, Any]:
    return dict(json.loads(named(objects, "ConfigMap", "keycloak-realm")["data"]["realm.json"]))


def job(objects: list[Object]) -> Object:
    (found,) = [one for one in of_kind(objects, "Job") if "-realm-" in one["metadata"]["name"]]
    return found


@pytest.mark.parametrize("helm", [3, 4])
def test_by_default_it_runs_in_production_mode_on_a_postgresql_of_its_own(
    render: Render, helm: int
) -> None:
    objects = render(helm=helm)
    server = named(objects, "StatefulSet", "keycloak")
    env = environment(server)
    assert containers(server)[-1]["args"] == ["start"]
    assert (env["KC_DB"], env["KC_DB_URL_HOST"]) == ("postgres", "t-keycloak-postgresql.ns.svc")
    assert env["KC_DB_PASSWORD"] == ("t-keycloak-postgresql", "POSTGRES_PASSWORD")
    assert env["KC_CACHE"] == "local"
    database = named(objects, "StatefulSet", "keycloak-postgresql")
    assert environment(database)["POSTGRES_PASSWORD"] == env["KC_DB_PASSWORD"]
    assert database["spec"]["volumeClaimTemplates"][0]["metadata"] == {"name": "data"}
    assert named(objects, "Service", "keycloak-postgresql")["spec"]["clusterIP"] == "None"


def test_it_is_known_by_its_public_address_and_reached_by_its_service(render: Render) -> None:
    objects = render(issuer("https://login.example.com/auth/realms/bank"))
    env = environment(named(objects, "StatefulSet", "keycloak"))
    assert env["KC_HOSTNAME"] == "https://login.example.com/auth"
    assert env["KC_HOSTNAME_BACKCHANNEL_DYNAMIC"] == "true"
    assert realm(objects)["realm"] == "bank"
    assert "--url=http://t-keycloak.ns.svc:8080" in containers(job(objects))[0]["args"]


def test_it_believes_forwarded_addresses_only_behind_an_ingress(render: Render) -> None:
    assert "KC_PROXY_HEADERS" not in environment(named(render(), "StatefulSet", "keycloak"))
    objects = render(keycloak(ingress={"enabled": True, "host": "login.example.com"}))
    env = environment(named(objects, "StatefulSet", "keycloak"))
    assert env["KC_PROXY_HEADERS"] == "xforwarded"
    backend = named(objects, "Ingress", "keycloak")["spec"]["rules"][0]["http"]["paths"][0]
    assert backend["backend"]["service"] == {"name": "t-keycloak", "port": {"name": "http"}}


def test_an_external_database_is_spoken_to_with_tls(render: Render) -> None:
    objects = render(EXTERNAL, CA, OPEN)
    env = environment(named(objects, "StatefulSet", "keycloak"))
    assert (env["KC_DB_URL_HOST"], env["KC_DB_USERNAME"]) == (
        "db.example.com",
        ("db", "POSTGRES_USER"),
    )
    assert env["KC_DB_TLS_MODE"] == "verify-server"
    assert env["KC_DB_TLS_TRUST_STORE_FILE"] == "/etc/waybill/ca/ca.crt"
    assert [one for one in objects if one["metadata"]["name"] == "t-keycloak-postgresql"] == []


def test_the_file_database_outlives_its_pod_and_the_release(render: Render) -> None:
    objects = render(keycloak(database={"mode": "file"}))
    server = named(objects, "StatefulSet", "keycloak")
    assert environment(server)["KC_DB"] == "dev-file"
    (data,) = [one for one in pod_spec(server)["volumes"] if one["name"] == "data"]
    assert data["persistentVolumeClaim"] == {"claimName": "t-keycloak"}
    claim = named(objects, "PersistentVolumeClaim", "keycloak")["metadata"]
    assert claim["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_replicas_share_a_cache_and_survive_a_drain(render: Render) -> None:
    objects = render(keycloak(replicas=2))
    server = named(objects, "StatefulSet", "keycloak")
    assert environment(server)["KC_CACHE"] == "ispn"
    ports = {one["name"]: one["containerPort"] for one in containers(server)[-1]["ports"]}
    assert (ports["jgroups"], ports["jgroups-fd"]) == (7800, 57800)
    assert named(objects, "PodDisruptionBudget", "keycloak")["spec"]["maxUnavailable"] == 1


def test_only_volumes_are_written_to(render: Render) -> None:
    server = named(render(), "StatefulSet", "keycloak")
    assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in containers(server))
    mounts = {one["mountPath"]: one["name"] for one in containers(server)[-1]["volumeMounts"]}
    assert mounts == {
        "/opt/keycloak/lib/quarkus": "build",
        "/opt/keycloak/data": "data",
        "/tmp": "tmp",  # noqa: S108 - of the container
    }


def test_a_persons_environment_wins(render: Render) -> None:
    objects = render(keycloak(env={"KC_PROXY_HEADERS": "forwarded", "KC_HEALTH_ENABLED": False}))
    server = named(objects, "StatefulSet", "keycloak")
    names = [one["name"] for one in containers(server)[-1]["env"]]
    assert len(names) == len(set(names))
    assert environment(server)["KC_PROXY_HEADERS"] == "forwarded"
    assert environment(server)["KC_HEALTH_ENABLED"] == "false"


def test_tls_is_served_beside_the_port_for_the_cluster(render: Render) -> None:
    objects = render(keycloak(tls={"secretName": "login-tls"}))
    env = environment(named(objects, "StatefulSet", "keycloak"))
    assert env["KC_HTTPS_CERTIFICATE_FILE"] == "/etc/keycloak/tls/tls.crt"
    ports = {
        one["name"]: one["port"] for one in named(objects, "Service", "keycloak")["spec"]["ports"]
    }
    assert ports == {"http": 8080, "https": 8443, "management": 9000}


def test_a_change_of_the_realm_is_a_new_job(render: Render) -> None:
    names = [
        job(render(*values))["metadata"]["name"]
        for values in ([], [keycloak(realm={"accessTokenLifespan": 60})], [])
    ]
    assert names[0] == names[2] != names[1]
    assert (
        names[0].startswith("t-keycloak-realm-") and len(names[0]) == len("t-keycloak-realm-") + 8
    )


def test_the_realm_holds_no_secret_and_no_user(render: Render) -> None:
    found = realm(render())
    assert "users" not in found
    assert [one["secret"] for one in found["clients"] if "secret" in one] == [
        "${WAYBILL_GATEWAY_CLIENT_SECRET}"
    ]
    env = environment(job(render(keycloak(clients={"gateway": {"existingSecret": "mine"}}))))
    assert env["WAYBILL_GATEWAY_CLIENT_SECRET"] == ("mine", "clientSecret")
    assert env["KC_BOOTSTRAP_ADMIN_PASSWORD"] == (
        "t-keycloak-admin",
        "KC_BOOTSTRAP_ADMIN_PASSWORD",
    )


def test_audiences_and_the_groups_claim_follow_the_values(render: Render) -> None:
    oidc = {"audiences": {"hub": "models", "gateway": "chat"}, "groupsClaim": "teams"}
    text = json.dumps(realm(render({"global": {"oidc": oidc}})))
    for part in ('"custom.audience": "models"', '"custom.audience": "chat"'):
        assert part.replace('"custom', '"included.custom') in text
    assert '"claim.name": "teams"' in text


def test_settings_of_a_person_are_laid_over_the_realm(render: Render) -> None:
    found = realm(render(keycloak(realm={"accessTokenLifespan": 60, "enabled": False})))
    assert (found["accessTokenLifespan"], found["enabled"]) == (60, False)
    assert found["bruteForceProtected"] is True


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (keycloak(replicas=2, database={"mode": "file"}), "set keycloak.replicas: 1"),
        (keycloak(database={"mode": "external"}), "set keycloak.database.host"),
        (
            keycloak(database={"mode": "external", "host": "db"}),
            "set keycloak.database.existingSecret",
        ),
        (EXTERNAL, "set global.caBundle.existingConfigMap, or keycloak.database.tls: false"),
        (issuer("https://login.example.com"), "its public address and /realms/<name>"),
        (issuer("https://login.example.com/realms/a/"), "/realms/<name>, with nothing after it"),
        (issuer("https://login.example.com/realms/master"), "name another realm"),
        (keycloak(realm={"clients": []}), "keycloak.realm sets clients"),
        (keycloak(ingress={"enabled": True}), "has no host"),
    ],
)
def test_contradictions_are_refused(render: Render, values: Any, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(values, OPEN)
    assert sentence in str(refused.value)


def test_a_database_without_tls_is_a_persons_word(render: Render) -> None:
    objects = render(EXTERNAL, OPEN, keycloak(database={"tls": False}))
    assert "KC_DB_TLS_MODE" not in environment(named(objects, "StatefulSet", "keycloak"))


def test_switched_off_it_leaves_nothing(render: Render) -> None:
    oidc = {"mode": "external", "issuer": "https://id.example.com", "jwksUri": "https://id/keys"}
    objects = render({"global": {"oidc": oidc}}, OPEN, keycloak(enabled=False))
    kinds = [one for one in objects if one["kind"] != "NetworkPolicy"]
    assert [one for one in kinds if "keycloak" in one["metadata"]["name"]] == []
