"""The model hub: what it is told, whom it trusts, and how it stops."""

import json
from typing import Any

import pytest

from tests.chart.rendering import Object, Refused, Render, named, of_kind, pod_spec

SIGNED_IN = {"modelHub": {"auth": {"enabled": True, "kubernetes": True}}}


def hub(objects: list[Object]) -> Object:
    return named(objects, "Deployment", "model-hub")


def env(objects: list[Object]) -> dict[str, Any]:
    (container,) = pod_spec(hub(objects))["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def volumes(objects: list[Object]) -> dict[str, Object]:
    return {one["name"]: one for one in pod_spec(hub(objects))["volumes"]}


def test_the_store_is_told_and_its_keys_come_from_the_hubs_own_secret(render: Render) -> None:
    told = env(render())
    assert told["WAYBILL_HUB_STORE"] == "s3://waybill"
    assert told["WAYBILL_HUB_ENDPOINT"] == "http://t-minio.ns.svc:9000"
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert told[key] == {"secretKeyRef": {"name": "t-objectstore-hub", "key": key}}
    assert told["AWS_EC2_METADATA_DISABLED"] == "true"


def test_an_external_store_is_told_with_its_prefix(render: Render) -> None:
    store = {
        "mode": "external",
        "endpoint": "https://s3.example.com",
        "publicEndpoint": "https://files.example.com",
        "bucket": "models",
        "prefix": "team/a",
        "region": "eu-1",
        "users": {"hub": {"existingSecret": "mine"}},
    }
    network = {"policies": False}
    values = {"global": {"objectStore": store, "network": network}, "minio": {"enabled": False}}
    told = env(render(values))
    assert told["WAYBILL_HUB_STORE"] == "s3://models/team/a"
    assert told["WAYBILL_HUB_ENDPOINT"] == "https://s3.example.com"
    assert told["WAYBILL_HUB_PUBLIC_ENDPOINT"] == "https://files.example.com"
    assert told["WAYBILL_HUB_INTERNAL_HOST"] == "t-model-hub.ns.svc"
    assert told["AWS_REGION"] == told["AWS_DEFAULT_REGION"] == "eu-1"
    assert told["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "mine"


def test_it_trusts_the_issuers_for_its_own_audience(render: Render) -> None:
    more = {"partners": {"enabled": True, "issuer": "https://sso.example.com"}}
    off = {"old": {"enabled": False, "issuer": "https://old.example.com"}}
    ca = {"existingConfigMap": "site-ca", "key": "all.pem"}
    values = {
        "global": {
            "caBundle": ca,
            "oidc": {"issuers": {**more, **off}},
            "network": {"policies": False},
        },
        "gateway": {"enabled": False},
    }
    objects = render(SIGNED_IN, values)
    told = env(objects)
    assert told["WAYBILL_HUB_AUTH"] == "required"
    assert told["WAYBILL_HUB_KUBERNETES_AUDIENCE"] == "waybill-hub"
    config = named(objects, "ConfigMap", "model-hub-issuers")["data"]
    assert told["WAYBILL_HUB_ISSUERS_FILE"] == "/etc/waybill/issuers/issuers.json"
    main, partners = json.loads(config["issuers.json"])["issuers"]
    assert main["issuer"] == "http://t-keycloak.ns.svc:8080/realms/waybill"
    assert main["jwksUri"].startswith(main["issuer"])
    assert partners == {
        "name": "partners",
        "issuer": "https://sso.example.com",
        "audience": "waybill-hub",
        "caBundle": "/etc/waybill/ca/all.pem",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "waybill-hub"), ({"gateway": "x"}, "waybill-hub"), ({"hub": "x"}, "x")],
)
def test_a_further_issuers_tokens_must_be_meant_for_the_hub(
    render: Render, given: dict[str, str] | None, expected: str
) -> None:
    more: dict[str, Any] = {"enabled": True, "issuer": "https://p.example/", "jwksUri": "https://k"}
    if given is not None:
        more["audiences"] = given
    _, found = issuers(render, {"issuers": {"p": more}})
    assert found["audience"] == expected
    assert found["issuer"] == "https://p.example/", "letter by letter"


def issuers(render: Render, oidc: dict[str, Any]) -> list[dict[str, Any]]:
    values = {"global": {"oidc": oidc, "network": {"policies": False}}}
    config = named(render(SIGNED_IN, values), "ConfigMap", "model-hub-issuers")["data"]
    found: list[dict[str, Any]] = json.loads(config["issuers.json"])["issuers"]
    return found


def test_an_issuer_signs_as_it_says_and_else_as_all_do(render: Render) -> None:
    one = {"enabled": True, "issuer": "https://a.example", "jwksUri": "https://k"}
    two = {**one, "issuer": "https://b.example", "algorithms": ["EdDSA"]}
    found = issuers(render, {"algorithms": ["PS256"], "issuers": {"a": one, "b": two}})
    assert [each["algorithms"] for each in found] == [["PS256"], ["PS256"], ["EdDSA"]]
    assert "algorithms" not in issuers(render, {})[0], "the hub has its own default"


def test_an_external_issuer_may_end_with_a_slash(render: Render) -> None:
    oidc = {"mode": "external", "issuer": "https://a.auth0.example/", "jwksUri": "https://k"}
    values = {"global": {"oidc": oidc, "network": {"policies": False}}}
    objects = render(SIGNED_IN, values, {"keycloak": {"enabled": False}})
    config = named(objects, "ConfigMap", "model-hub-issuers")["data"]["issuers.json"]
    assert json.loads(config)["issuers"][0]["issuer"] == "https://a.auth0.example/"


def test_its_own_token_is_mounted_where_the_cluster_is_trusted(render: Render) -> None:
    objects = render(SIGNED_IN)
    sources = volumes(objects)["own-token"]["projected"]["sources"]
    assert [next(iter(one)) for one in sources] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    assert "audience" not in sources[0]["serviceAccountToken"]
    assert pod_spec(hub(objects))["automountServiceAccountToken"] is False
    alone = render({"modelHub": {"auth": {"enabled": True, "kubernetes": False}}})
    assert "own-token" not in volumes(alone)
    assert "WAYBILL_HUB_KUBERNETES_AUDIENCE" not in env(alone)


def test_without_sign_in_nothing_of_it_is_there(render: Render) -> None:
    objects = render({"modelHub": {"auth": {"enabled": False}}})
    assert env(objects)["WAYBILL_HUB_AUTH"] == "off"
    assert set(volumes(objects)) == {"tmp"}
    names = [one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")]
    assert "t-model-hub-issuers" not in names


POLICY = "# whom prod trusts\ndefault: {unsigned: allow}\n"


def test_the_trust_policy_is_mounted_as_it_was_given(render: Render) -> None:
    objects = render({"modelHub": {"trust": {"policy": POLICY}}})
    config = named(objects, "ConfigMap", "model-hub-trust")
    assert config["data"]["trust.yaml"].strip() == POLICY.strip()
    assert env(objects)["WAYBILL_HUB_TRUST"] == "/etc/waybill/trust/trust.yaml"
    assert volumes(objects)["trust"] == {
        "name": "trust",
        "configMap": {"name": "t-model-hub-trust"},
    }
    (container,) = pod_spec(hub(objects))["containers"]
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    # A single file of a ConfigMap would never change in a running pod.
    assert mounts["trust"] == {
        "name": "trust",
        "mountPath": "/etc/waybill/trust",
        "readOnly": True,
    }


def test_the_trust_policy_may_be_in_a_config_map_of_ones_own(render: Render) -> None:
    trust = {"existingConfigMap": "whom", "key": "prod.yaml"}
    objects = render({"modelHub": {"trust": trust}})
    assert env(objects)["WAYBILL_HUB_TRUST"] == "/etc/waybill/trust/prod.yaml"
    assert volumes(objects)["trust"]["configMap"] == {"name": "whom"}
    names = [one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")]
    assert "t-model-hub-trust" not in names


def test_without_a_trust_policy_nothing_of_it_is_there(render: Render) -> None:
    objects = render()
    assert "WAYBILL_HUB_TRUST" not in env(objects)
    assert "trust" not in volumes(objects)


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ({"policy": POLICY, "existingConfigMap": "whom"}, "leave one of them out"),
        ({"policy": "values/trust/prod.yaml"}, "--set-file modelHub.trust.policy=FILE"),
        ({"policy": "keys: {}"}, "--set-file modelHub.trust.policy=FILE"),
    ],
)
def test_a_trust_policy_that_is_none_is_refused(
    render: Render, trust: dict[str, str], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        render({"modelHub": {"trust": trust}})


def test_it_stops_after_its_downloads_and_before_the_kubelets_patience(render: Render) -> None:
    pod = pod_spec(hub(render()))
    (container,) = pod["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    pause = int("".join(filter(str.isdigit, command[-1])))
    assert pause + 26 < pod["terminationGracePeriodSeconds"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (2, 1)])
def test_two_of_it_are_not_drained_at_once(replicas: int, budgets: int, render: Render) -> None:
    objects = render({"modelHub": {"replicas": replicas}})
    found = [
        one
        for one in of_kind(objects, "PodDisruptionBudget")
        if one["metadata"]["name"] == "t-model-hub"
    ]
    assert len(found) == budgets
    assert hub(objects)["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_setting_of_the_environment_wins_over_the_charts(render: Render) -> None:
    told = env(render({"modelHub": {"env": {"WAYBILL_HUB_DELIVERY": "proxy", "LIMIT": 5000000}}}))
    assert told["WAYBILL_HUB_DELIVERY"] == "proxy"
    assert told["LIMIT"] == "5000000"


def test_a_link_that_lives_for_more_than_a_week_is_refused(render: Render) -> None:
    with pytest.raises(Refused, match="presignSeconds"):
        render({"modelHub": {"presignSeconds": 604801}})
