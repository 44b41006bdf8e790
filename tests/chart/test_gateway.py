"""What the gateway is made of; how it behaves is in tests/integration/gateway."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.chart.rendering import Object, Refused, Render, containers, named, pod_spec

ONE, TWO = "1" * 40, "2e" + "2" * 38
ISSUER = {"mode": "external", "issuer": "https://login.example.com", "jwksUri": "https://k/keys"}
BASE: dict[str, Any] = {
    "keycloak": {"enabled": False},
    "global": {
        "oidc": ISSUER,
        "network": {"policies": False},
        "models": {"chat": {"enabled": True, "profile": "cpu", "rollout": "sideBySide"}},
    },
}


def share(commit: str, weight: int) -> dict[str, str]:
    return {"commit": commit, "weight": str(weight)}


def pinned(**traffic: Mapping[str, str]) -> dict[str, Any]:
    revision = {"repo": "acme/chat", "digest": "sha256:" + "0" * 64, "size": "1", "provenance": ""}
    commits = {slot["commit"] for slot in traffic.values()}
    pin = {"revisions": dict.fromkeys(commits, revision), "traffic": traffic}
    return {"global": {"pins": {"chat": pin}}}


CANARY = pinned(stable=share(ONE, 90), canary=share(TWO, 10))


def file(objects: list[Object], name: str) -> Any:
    """A file of either ConfigMap, read."""
    maps = [named(objects, "ConfigMap", one) for one in ("gateway", "gateway-routes")]
    return yaml.safe_load(next(one["data"][name] for one in maps if name in one["data"]))


def routes(objects: list[Object]) -> list[Any]:
    (config,) = file(objects, "routes.yaml")["resources"]
    found: list[Any] = config["virtual_hosts"][0]["routes"]
    return found


def pods(objects: list[Object]) -> Object:
    deployment = named(objects, "Deployment", "gateway")
    found: Object = deployment["spec"]["template"]
    return found


def test_a_new_weight_changes_the_routes_and_restarts_nothing(render: Render) -> None:
    before = render(BASE, CANARY)
    after = render(BASE, pinned(stable=share(ONE, 50), canary=share(TWO, 50)))
    assert routes(before) != routes(after)
    assert file(before, "clusters.yaml") == file(after, "clusters.yaml")
    assert pods(before) == pods(after)


def test_a_new_limit_restarts_the_pods(render: Render) -> None:
    limit = {"gateway": {"limits": {"requestsPerMinute": 7}}}
    assert pods(render(BASE)) != pods(render(BASE, limit))


def shares(objects: list[Object]) -> dict[str, int]:
    model = next(route for route in routes(objects) if route.get("name") == "chat")
    return {one["name"]: one["weight"] for one in model["route"]["weighted_clusters"]["clusters"]}


def slots(objects: list[Object]) -> dict[str, list[str]]:
    """By slot: the clusters that answer for it, the first that is up before the others."""
    return {
        cluster["name"]: cluster["cluster_type"]["typed_config"]["clusters"]
        for cluster in file(objects, "clusters.yaml")["resources"]
        if "cluster_type" in cluster
    }


def test_a_revision_at_weight_0_gets_no_share_and_stands_in_for_stable(render: Render) -> None:
    objects = render(BASE, pinned(stable=share(ONE, 100), previous=share(TWO, 0)))
    assert shares(objects) == {"chat/stable": 100}
    assert slots(objects)["chat/stable"] == ["chat@11111111", "chat@2e222222"]


def test_a_canary_that_is_not_up_leaves_its_share_to_stable(render: Render) -> None:
    objects = render(BASE, CANARY)
    assert shares(objects) == {"chat/stable": 90, "chat/canary": 10}
    assert slots(objects)["chat/canary"] == ["chat@2e222222", "chat@11111111"]


def test_whatever_the_traffic_the_slots_are_there_and_have_somebody_to_answer(
    render: Render,
) -> None:
    for traffic in (pinned(stable=share(ONE, 100)), CANARY):
        found = slots(render(BASE, traffic))
        assert sorted(found) == ["chat/canary", "chat/previous", "chat/stable"]
        assert all(found.values())


def test_engines_are_the_pods_of_their_headless_service(render: Render) -> None:
    cluster = file(render(BASE, CANARY), "clusters.yaml")["resources"][1]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert address == {"address": "t-vllm-chat-2e222222.ns.svc", "port_value": 8000}
    assert endpoint["metadata"]["filter_metadata"]["waybill"]["revision"] == TWO


def test_without_a_pin_there_is_nothing_to_ask_for(render: Render) -> None:
    listing = json.loads(routes(render(BASE))[0]["direct_response"]["body"]["inline_string"])
    assert listing == {"object": "list", "data": []}


def test_every_name_can_be_looked_up(render: Render) -> None:
    names = ["acme/chat:latest", "yes", "1"]
    given = {"global": {"models": {"chat": {"servedNames": names}}}}
    found = routes(render(BASE, CANARY, given))
    asked = [route["match"].get("path") for route in found]
    assert [f"/v1/models/{name}" for name in names] == asked[1:4]


def test_the_clients_address_is_what_trusted_proxies_say(render: Render) -> None:
    for given, hops in (({}, 0), ({"gateway": {"trustedHops": 2}}, 2)):
        assert manager(render(BASE, given))["xff_num_trusted_hops"] == hops


def test_the_admin_listens_on_the_pods_loopback_alone(render: Render) -> None:
    admin = file(render(BASE), "bootstrap.yaml")["admin"]["address"]["socket_address"]
    assert admin == {"address": "127.0.0.1", "port_value": 9901}


def test_two_pods_survive_a_drain(render: Render) -> None:
    two = render(BASE, {"gateway": {"replicas": 2}})
    assert named(two, "PodDisruptionBudget", "gateway")["spec"]["maxUnavailable"] == 1
    kinds = {one["kind"] for one in render(BASE) if one["metadata"]["name"] == "t-gateway"}
    assert "PodDisruptionBudget" not in kinds


def test_a_pod_has_until_its_grace_ends_to_finish_streams(render: Render) -> None:
    deployment = named(
        render(BASE, {"gateway": {"terminationGracePeriodSeconds": 90}}), "Deployment", "gateway"
    )
    (envoy,) = containers(deployment)
    assert pod_spec(deployment)["terminationGracePeriodSeconds"] == 90
    assert envoy["lifecycle"]["preStop"]["exec"]["command"][-1] == "80"


def external(**given: Any) -> dict[str, Any]:
    model = {"enabled": True, "target": "external", "external": given}
    return {"global": {"models": {"gpt": model}}}


def test_a_credential_stays_in_its_secret(render: Render) -> None:
    objects = render(BASE, external(url="https://api.example.com", existingSecret="openai"))
    volumes = {one["name"]: one for one in pods(objects)["spec"]["volumes"]}
    assert volumes["credential-gpt"]["secret"] == {
        "secretName": "openai",
        "items": [{"key": "token", "path": "token"}],
    }


def test_a_credentials_key_may_have_another_name(render: Render) -> None:
    given = external(url="https://api.example.com", existingSecret="openai", key="apiKey")
    volumes = {one["name"]: one for one in pods(render(BASE, given))["spec"]["volumes"]}
    assert volumes["credential-gpt"]["secret"]["items"] == [{"key": "apiKey", "path": "token"}]


def manager(objects: list[Object]) -> dict[str, Any]:
    listener = file(objects, "bootstrap.yaml")["static_resources"]["listeners"][0]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def providers(objects: list[Object]) -> dict[str, Any]:
    (identity, *_) = manager(objects)["http_filters"]
    found: dict[str, Any] = identity["typed_config"]["providers"]
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "waybill-gateway"), ({"hub": "x"}, "waybill-gateway"), ({"gateway": "x"}, "x")],
)
def test_a_further_issuers_tokens_must_be_meant_for_the_gateway(
    render: Render, given: dict[str, str] | None, expected: str
) -> None:
    more = {"enabled": True, "issuer": "https://p.example/", "jwksUri": "https://p.example/keys"}
    if given is not None:
        more["audiences"] = given
    objects = render(BASE, {"global": {"oidc": ISSUER | {"issuers": {"p": more}}}})
    found = providers(objects)
    assert found["p"]["audiences"] == [expected]
    assert found["main"]["audiences"] == ["waybill-gateway"]
    assert found["p"]["issuer"] == "https://p.example/", "letter by letter"


def test_a_pod_is_not_ready_before_the_issuers_have_been_asked(render: Render) -> None:
    for provider in providers(render(BASE)).values():
        assert provider["remote_jwks"]["async_fetch"]["fast_listener"] is False


def test_tls_to_the_outside_is_verified(render: Render) -> None:
    ca = {"global": {"caBundle": {"existingConfigMap": "site"}}}
    for more, path in (({}, "/etc/ssl/certs/ca-certificates.crt"), (ca, "/etc/waybill/ca/ca.crt")):
        objects = render(BASE, external(url="https://api.example.com/v1"), more)
        (cluster,) = file(objects, "clusters.yaml")["resources"]
        tls = cluster["transport_socket"]["typed_config"]
        trusted = tls["common_tls_context"]["validation_context"]
        assert tls["sni"] == "api.example.com"
        assert trusted["trusted_ca"]["filename"] == path
        (name,) = trusted["match_typed_subject_alt_names"]
        assert name == {"san_type": "DNS", "matcher": {"exact": "api.example.com"}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (external(), "set global.models.gpt.external.url"),
        ({"global": {"oidc": ISSUER | {"jwksUri": ""}}}, "set its jwksUri in global.oidc"),
    ],
)
def test_contradictions_are_refused_with_what_to_set(
    render: Render, values: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        render(BASE, CANARY, values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("helm", [3, 4])
def test_both_helms_say_the_same(render: Render, helm: int) -> None:
    here = [named(render(BASE, CANARY, helm=one), "ConfigMap", "gateway") for one in (helm, 4)]
    assert here[0] == here[1]
