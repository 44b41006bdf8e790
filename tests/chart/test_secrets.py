"""The hook that makes missing Secrets: which ones, and what it may do in the cluster."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import (
    CHART,
    HELM,
    Object,
    Refused,
    Render,
    named,
    of_kind,
    pod_spec,
)
from tests.services import needs
from waybill.deliver.helm import Helm
from waybill.deliver.secrets import Plan

ALL = {
    "t-minio-root": {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"},
    "t-objectstore-hub": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "t-objectstore-sideload": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "t-objectstore-promote": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "t-objectstore-prune": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "t-keycloak-admin": {"KC_BOOTSTRAP_ADMIN_USERNAME", "KC_BOOTSTRAP_ADMIN_PASSWORD"},
    "t-keycloak-postgresql": {"POSTGRES_USER", "POSTGRES_PASSWORD"},
    "t-oidc-gateway": {"clientId", "clientSecret"},
}
MINE = {"existingSecret": "mine"}
USERS = {"hub": MINE, "sideload": MINE, "promote": MINE, "prune": MINE}
GIVEN: dict[str, Any] = {
    "global": {"objectStore": {"users": USERS}},
    "minio": MINE,
    "keycloak": {**MINE, "database": MINE, "clients": {"gateway": MINE}},
}


def plan(objects: list[Object]) -> Plan:
    return Plan.among(objects)


def hook(objects: list[Object]) -> list[Object]:
    """All of the hook; the NetworkPolicy of its pod stays behind."""
    ours = [one for one in objects if one["metadata"]["name"] == "t-secrets"]
    return [one for one in ours if one["kind"] != "NetworkPolicy"]


@pytest.mark.parametrize("helm", [3, 4])
def test_every_secret_that_nobody_gave_is_planned(render: Render, helm: int) -> None:
    found = plan(render(helm=helm, kube="1.30.0"))
    assert {name: set(keys) for name, keys in found.secrets.items()} == ALL
    assert found.labels["app.kubernetes.io/instance"] == "t"
    assert found.labels["app.kubernetes.io/managed-by"] == "waybill"


def test_the_guide_lists_them_with_their_keys() -> None:
    guide = Path("tools/docs/install.md").read_text()
    rows = [line.split("|")[1:3] for line in guide.splitlines() if "| `<release>-" in line]
    told = {
        name.replace("<release>", "t"): set(re.findall("`(.*?)`", keys))
        for names, keys in rows
        for name in re.findall("`(.*?)`", names)
    }
    assert told == ALL


def test_no_password_is_in_the_chart(render: Render) -> None:
    entries = [
        (key, entry) for keys in plan(render()).secrets.values() for key, entry in keys.items()
    ]
    hidden = {key for key, entry in entries if entry == {"random": 40}}
    told = {key for key, entry in entries if "value" in entry}
    assert all("PASSWORD" in key or "secret" in key.lower() for key in hidden)
    assert told == {
        "MINIO_ROOT_USER",
        "AWS_ACCESS_KEY_ID",
        "KC_BOOTSTRAP_ADMIN_USERNAME",
        "POSTGRES_USER",
        "clientId",
    }


def test_every_planned_secret_is_read_by_a_pod(render: Render) -> None:
    workloads = of_kind(render(), "StatefulSet", "Deployment", "Job")
    read = json.dumps([pod_spec(one) for one in workloads])
    assert [name for name in ALL if f'"{name}"' not in read] == []


@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({"minio": MINE}, {"t-minio-root"}),
        ({"global": {"objectStore": {"users": {"hub": MINE}}}}, {"t-objectstore-hub"}),
        ({"keycloak": MINE}, {"t-keycloak-admin"}),
        ({"keycloak": {"database": {"mode": "file"}}}, {"t-keycloak-postgresql"}),
        ({"keycloak": {"clients": {"gateway": MINE}}}, {"t-oidc-gateway"}),
    ],
)
def test_what_a_person_gives_is_not_planned(
    render: Render, values: dict[str, Any], gone: set[str]
) -> None:
    assert set(plan(render(values)).secrets) == set(ALL) - gone


def test_the_hook_may_read_what_it_plans_and_create(render: Render) -> None:
    objects = render()
    get, create = named(objects, "Role", "secrets")["rules"]
    assert get == {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": sorted(ALL),
        "verbs": ["get"],
    }
    assert create == {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}


def test_all_of_it_comes_before_the_release_and_goes_again(render: Render) -> None:
    objects = hook(render({"global": {"annotations": {"site": "a"}}}))
    assert [one["kind"] for one in objects].count("Job") == 1
    for one in objects:
        notes = one["metadata"]["annotations"]
        assert notes["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        assert notes["site"] == "a"
        assert (int(notes["helm.sh/hook-weight"]) > -10) == (one["kind"] == "Job")


def test_its_token_is_its_own_and_short_lived(render: Render) -> None:
    spec = pod_spec(named(render(), "Job", "secrets"))
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "t-secrets"
    [token] = [volume for volume in spec["volumes"] if volume["name"] == "token"]
    sources = token["projected"]["sources"]
    assert sources[0]["serviceAccountToken"]["expirationSeconds"] == 600


@pytest.mark.parametrize("values", [{"global": {"secrets": {"create": False}}}, GIVEN])
def test_there_is_no_hook_where_it_is_forbidden_or_has_nothing_to_do(
    render: Render, values: dict[str, Any]
) -> None:
    assert hook(render(values)) == []


def test_a_password_cannot_be_given_in_values(render: Render) -> None:
    with pytest.raises(Refused, match="additional properties 'rootPassword' not allowed"):
        render({"minio": {"rootPassword": "sesame"}})


def test_where_the_hook_is_forbidden_the_command_makes_the_same(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tmp_path / "values.json"
    monkeypatch.setenv("WAYBILL_HELM", needs(HELM[4]))
    for given, secrets in (({}, set(ALL)), (GIVEN, set[str]())):
        forbidden = {**given, "global": {**given.get("global", {}), "secrets": {"create": False}}}
        values.write_text(json.dumps(forbidden))
        found = Plan.of(Helm(CHART, "t", "ns", [values]))
        assert set(found.secrets) == secrets
        assert found == plan(render(given))
