"""Who may talk to whom, read back from the policies that are rendered."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import (
    CASES,
    CHART,
    Object,
    Render,
    named,
    of_kind,
    pod_labels,
    pod_spec,
    workloads,
)

INSTANCE, NAME = "app.kubernetes.io/instance", "app.kubernetes.io/name"
ANYONE: dict[str, Any] = {"namespaceSelector": {}}
Arrow = tuple[str, str, int]


def policies(objects: list[Object]) -> dict[str, Object]:
    """The policies of components, by component."""
    return {
        one["spec"]["podSelector"]["matchLabels"][NAME]: one["spec"]
        for one in of_kind(objects, "NetworkPolicy")
        if NAME in one["spec"]["podSelector"]["matchLabels"]
    }


def within(peer: Object) -> str:
    """The component that a peer selects, or nothing for one outside of the release."""
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    return labels.get(NAME, "") if labels.get(INSTANCE) == "t" and len(peer) == 1 else ""


def arrows(objects: list[Object], direction: str) -> set[Arrow]:
    """(from, to, port) within the release, as egress or as ingress has it."""
    side = {"egress": "to", "ingress": "from"}[direction]
    found = set()
    for component, spec in policies(objects).items():
        for rule in spec.get(direction, []):
            for other in filter(None, map(within, rule[side])):
                pair = (component, other) if direction == "egress" else (other, component)
                found |= {(*pair, port["port"]) for port in rule["ports"]}
    return found


def outside(objects: list[Object], direction: str) -> Iterator[tuple[str, Any, list[int]]]:
    """(component, peer, ports) with a peer outside of the release."""
    side = {"egress": "to", "ingress": "from"}[direction]
    for component, spec in policies(objects).items():
        for rule in spec.get(direction, []):
            for peer in rule[side]:
                if not within(peer):
                    yield component, peer, [port["port"] for port in rule["ports"]]


def test_nothing_but_names_is_allowed_by_default(render: Render) -> None:
    spec = named(render(), "NetworkPolicy", "network")["spec"]
    selector = {INSTANCE: "t", "app.kubernetes.io/part-of": "waybill"}
    assert spec["podSelector"] == {"matchLabels": selector}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 5353}


def test_the_dns_may_have_other_labels(render: Render) -> None:
    dns = {
        "namespaceLabels": {"kubernetes.io/metadata.name": "openshift-dns"},
        "podLabels": {"dns.operator.openshift.io/daemonset-dns": "default"},
    }
    for given, labels in (({}, {"k8s-app": "kube-dns"}), ({"dns": dns}, dns["podLabels"])):
        spec = named(render({"global": {"network": given}}), "NetworkPolicy", "network")["spec"]
        assert spec["egress"][0]["to"][0]["podSelector"] == {"matchLabels": labels}


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_denied_by_default_and_has_a_policy(render: Render, case: str) -> None:
    objects = render(*CASES[case])
    denied = named(objects, "NetworkPolicy", "network")["spec"]["podSelector"]["matchLabels"]
    for one in workloads(objects):
        labels = pod_labels(one)
        assert denied.items() <= labels.items(), labels
        assert labels[NAME] in policies(objects), labels


@pytest.mark.parametrize("case", CASES)
def test_both_ends_of_an_arrow_agree(render: Render, case: str) -> None:
    objects = render(*CASES[case])
    assert arrows(objects, "egress") == arrows(objects, "ingress")


def test_dev_has_these_arrows_and_no_other(render: Render) -> None:
    assert arrows(render(*CASES["dev"]), "egress") == {
        ("gateway", "keycloak", 8080),
        ("gateway", "vllm", 8000),
        ("import", "minio", 9000),
        ("keycloak", "keycloak", 7800),
        ("keycloak", "keycloak", 57800),
        ("keycloak-realm", "keycloak", 8080),
        ("minio-provision", "minio", 9000),
        ("model-hub", "minio", 9000),
        ("test", "gateway", 8080),
        ("test", "gateway", 9902),
        ("test", "model-hub", 8080),
        ("vllm", "minio", 9000),
        ("vllm", "model-hub", 8080),
    }


def test_nobody_asks_for_keys_where_nobody_signs_in(render: Render) -> None:
    for auth, asking in ((True, {"gateway", "model-hub"}), (False, set())):
        values = {name: {"auth": {"enabled": auth}} for name in ("gateway", "modelHub")}
        found = arrows(render(values), "egress")
        assert {one for one, to, port in found if (to, port) == ("keycloak", 8080)} == {
            *asking,
            "keycloak-realm",
        }


def test_engines_do_not_reach_the_store_when_the_hub_passes_files_on(render: Render) -> None:
    objects = render(*CASES["dev"], {"modelHub": {"delivery": "proxy"}})
    assert not [arrow for arrow in arrows(objects, "egress") if arrow[:2] == ("vllm", "minio")]


def test_ports_are_those_of_the_pods(render: Render) -> None:
    objects = render(*CASES["everything"])
    ports: dict[str, set[int]] = {}
    for one in workloads(objects):
        known = {
            p["containerPort"] for c in pod_spec(one)["containers"] for p in c.get("ports", [])
        }
        ports.setdefault(pod_labels(one)[NAME], set()).update(known)
    wanted: dict[str, set[int]] = {}
    for _, to, port in arrows(objects, "ingress"):
        wanted.setdefault(to, set()).add(port)
    for to, _, found in outside(objects, "ingress"):
        wanted.setdefault(to, set()).update(found)
    for to, found_ports in wanted.items():
        assert found_ports <= ports[to], to


def test_metrics_are_where_the_monitors_look(render: Render) -> None:
    objects = render(*CASES["everything"])
    for monitor in of_kind(objects, "PodMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        names = [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]]
        for one in workloads(objects):
            if selector.items() <= pod_labels(one).items():
                main = pod_spec(one)["containers"]
                assert names[0] in [p["name"] for c in main for p in c.get("ports", [])], selector


def test_only_hub_hook_and_drift_may_ask_the_api_server(render: Render) -> None:
    cidr = {"ipBlock": {"cidr": "10.20.0.1/32"}}
    found = {one for one, peer, ports in outside(render(*CASES["test"]), "egress") if peer == cidr}
    assert found == {"drift", "model-hub", "secrets"}


def test_a_hub_that_trusts_no_service_accounts_asks_no_api_server(render: Render) -> None:
    objects = render({"modelHub": {"auth": {"kubernetes": False}}})
    assert {component for component, _, _ in outside(objects, "egress")} == {"secrets"}


def test_places_outside_are_reached_by_whom_they_name(render: Render) -> None:
    found = list(outside(render(*CASES["everything"]), "egress"))
    database = {"ipBlock": {"cidr": "10.40.5.16/31"}}
    assert ("keycloak", database, [5432]) in found
    assert {component for component, peer, _ in found if peer == database} == {"keycloak"}
    other = {"kubernetes.io/metadata.name": "other"}
    neighbours = {
        "namespaceSelector": {"matchLabels": other},
        "podSelector": {"matchLabels": {"app": "vllm"}},
    }
    assert ("gateway", neighbours, [8000]) in found


def test_engines_cannot_leave(render: Render) -> None:
    for case in ("dev", "test", "prod"):
        found = list(outside(render(*CASES[case]), "egress"))
        assert "vllm" not in {component for component, _, _ in found}


@pytest.mark.parametrize(
    ("clients", "peers"),
    [
        ({}, [ANYONE]),
        ({"gateway": []}, []),
        ({"gateway": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, [{"ipBlock": {"cidr": "10.0.0.0/8"}}]),
    ],
    ids=["all", "none", "some"],
)
def test_clients_come_in_as_the_values_say(render: Render, clients: Any, peers: Any) -> None:
    objects = render({"global": {"network": {"clients": clients}}})
    found = [peer for to, peer, _ in outside(objects, "ingress") if to == "gateway"]
    assert found == peers


def test_monitoring_reaches_the_ports_with_metrics_alone(render: Render) -> None:
    monitoring = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }
    found = outside(render(*CASES["test"]), "ingress")
    reached = {to: ports for to, peer, ports in found if peer == monitoring}
    metrics = yaml.safe_load((CHART / "network.yaml").read_text())["metrics"]
    assert reached == {component: [at["port"]] for component, at in metrics.items()}


def test_policies_can_be_left_to_the_site(render: Render) -> None:
    assert not of_kind(render({"global": {"network": {"policies": False}}}), "NetworkPolicy")
