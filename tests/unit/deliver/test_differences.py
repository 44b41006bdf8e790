"""What was rendered beside what the API server has made of it, and of what people did to it."""

import copy
from typing import Any

import pytest
import yaml

from waybill.deliver.differences import Difference, differences, opened

EXPECTED = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: w-gateway, labels: {app.kubernetes.io/instance: w}}
spec:
  replicas: 2
  template:
    spec:
      hostNetwork: false
      nodeSelector: {}
      containers:
        - name: envoy
          image: envoy:1
          args: [--log-level, warning]
          env: [{name: A, value: ""}, {name: B, value: "2"}]
          resources: {limits: {cpu: "1", memory: 1024Mi}}
      volumes: [{name: tmp, emptyDir: {}}]
""")
HAND = "kubectl-edit"


def live(**changes: Any) -> dict[str, Any]:
    """As an API server gives it: with its defaults, without what is empty, in its own units."""
    found = copy.deepcopy(EXPECTED)
    spec = found["spec"]["template"]["spec"]
    del spec["hostNetwork"], spec["nodeSelector"], spec["containers"][0]["env"][0]["value"]
    spec |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    spec["containers"][0]["resources"]["limits"] = {"cpu": "1000m", "memory": "1Gi"}
    spec["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    found["metadata"] |= {"uid": "u", "managedFields": [entry("helm", "f:replicas")]}
    found["status"] = {"replicas": 2}
    found["spec"] |= changes
    return dict(found)


def entry(manager: str, *path: str, **more: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for step in reversed(path):
        fields = {step: fields}
    time = {"time": "2026-01-02T03:04:05Z"}
    return {"manager": manager, "fieldsV1": {"f:spec": fields}, **time, **more}


def compared(*objects: dict[str, Any], expected: Any = EXPECTED) -> list[Difference]:
    kinds = {"Deployment", "ConfigMap"}
    return differences([expected], objects, kinds, {"Deployment"})


def container(found: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return made


def test_defaults_units_and_what_is_empty_differ_from_nothing() -> None:
    assert compared(live()) == []


def test_an_object_that_is_gone_or_one_too_many_is_told() -> None:
    (gone,) = compared()
    assert (gone.object, gone.expected, gone.found) == (
        "Deployment w-gateway",
        "this object",
        "nothing",
    )
    more = live()
    more["metadata"] = {"name": "w-other"}
    assert [each.object for each in compared(live(), more)] == ["Deployment w-other"]
    stray = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {}}
    assert compared(live(), stray) == [], "not all ConfigMaps are expected"


@pytest.mark.parametrize(
    "mark", [{"annotations": {"helm.sh/hook": "test"}}, {"ownerReferences": [{}]}]
)
def test_hooks_and_what_others_own_do_not_count(mark: dict[str, Any]) -> None:
    more = live()
    more["metadata"] = {"name": "w-other", **mark}
    assert compared(live(), more) == []


def test_a_changed_number_names_field_values_and_who_did_it() -> None:
    changed = live(replicas=5)
    changed["metadata"]["managedFields"].append(entry(HAND, "f:replicas", subresource="scale"))
    (found,) = compared(changed)
    assert (found.field, found.expected, found.found) == ("spec.replicas", "2", "5")
    assert found.by == "kubectl-edit at 2026-01-02T03:04:05Z"


def test_arguments_are_compared_in_their_order_and_number() -> None:
    changed = live()
    container(changed)["args"][1] = "debug"
    (found,) = compared(changed)
    assert found.field == "spec.template.spec.containers.envoy.args.1"
    container(changed)["args"].append("--token=abc")
    (found,) = compared(changed)
    assert (found.expected, found.found) == ("2 items", "3 items")


def test_variables_are_compared_by_name_and_their_values_are_not_shown() -> None:
    changed = live()
    container(changed)["env"].append({"name": "C", "value": "hunter2"})
    container(changed)["env"][1]["value"] = "hunter2"
    del container(changed)["env"][0]
    found = {each.field.rpartition("envoy.env.")[2]: each for each in compared(changed)}
    told = {field: (each.expected, each.found) for field, each in found.items()}
    assert told == {
        "A": ("a value", "nothing"),
        "B.value": ("2", "another value"),
        "C": ("nothing", "a value"),
    }


def test_of_a_long_text_the_first_line_that_differs_is_shown() -> None:
    expected = {"kind": "ConfigMap", "metadata": {"name": "r"}, "data": {"routes": "a\nb: 1\nc"}}
    changed = {**expected, "data": {"routes": "a\nb: 2\nc"}}
    (found,) = compared(changed, expected=expected)
    assert (found.field, found.expected, found.found) == ("data.routes", "b: 1", "b: 2")


def test_a_credential_in_a_text_is_not_shown() -> None:
    expected = {"kind": "ConfigMap", "metadata": {"name": "r"}, "data": {"routes": "a"}}
    changed = {**expected, "data": {"routes": "password: hunter2"}}
    (found,) = compared(changed, expected=expected)
    assert found.found == "password: (hidden)"


def test_what_somebody_has_added_is_known_by_its_manager() -> None:
    path = ("f:template", "f:spec", "f:securityContext", "f:runAsUser")
    changed = live()
    changed["metadata"]["managedFields"] += [
        entry(HAND, *path),
        entry("kube-controller-manager", "f:x", subresource="status"),
        entry("argocd-controller", "f:y"),
        entry("kubectl-rollout", "f:template", "f:metadata", "f:kubectl.kubernetes.io/restartedAt"),
    ]
    (found,) = compared(changed)
    assert found.field == "spec.template.spec.securityContext.runAsUser"
    assert found.by.startswith(HAND)


def test_a_field_of_a_list_item_is_found_by_its_keys() -> None:
    at = ("f:template", "f:spec", "f:containers", 'k:{"name":"envoy"}')
    changed = live()
    changed["metadata"]["managedFields"] += [entry(HAND, *at, "f:tty"), entry(HAND, *at, "f:image")]
    (found,) = compared(changed)
    assert found.field == "spec.template.spec.containers.tty"


POLICY = yaml.safe_load("""
kind: NetworkPolicy
metadata: {name: w-hub}
spec:
  podSelector: {matchLabels: {component: hub}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {component: engine}}}]
      ports: [{port: 8000}]
""")
SERVICE = {"kind": "Service", "metadata": {"name": "w"}, "spec": {"selector": {"component": "hub"}}}


def policy(managers: tuple[str, ...] = (HAND,)) -> Any:
    """As an API server gives it: it adds the protocol, and keeps rules and selectors as one."""
    found = copy.deepcopy(POLICY)
    found["spec"]["ingress"][0]["ports"][0]["protocol"] = "TCP"
    found["metadata"]["managedFields"] = [
        {"manager": one, "fieldsV1": {"f:spec": {"f:ingress": {}, "f:podSelector": {}}}}
        for one in managers
    ]
    return found


def edits() -> dict[str, Any]:
    """By the field that is told."""

    def rule(found: Any) -> Any:
        return found["spec"]["ingress"][0]

    return {
        "podSelector.matchLabels.more": lambda one: one["spec"]["podSelector"][
            "matchLabels"
        ].update(more="x"),
        "podSelector": lambda one: one["spec"].update(podSelector={}),
        "ingress.0.ports.0.endPort": lambda one: rule(one)["ports"][0].update(endPort=65535),
        "ingress.0.ports.0.protocol": lambda one: rule(one)["ports"][0].update(protocol="UDP"),
        "ingress.0.from.0.namespaceSelector": lambda one: rule(one)["from"][0].update(
            namespaceSelector={}
        ),
        "ingress.0.from": lambda one: rule(one).pop("from"),
        "ingress": lambda one: one["spec"]["ingress"].append({}),
    }


@pytest.mark.parametrize("field", edits())
def test_what_is_added_to_a_rule_or_a_selector_is_told(field: str) -> None:
    changed = policy()
    edits()[field](changed)
    (found,) = differences([POLICY], [changed], {"NetworkPolicy"}, set())
    told = "podSelector.matchLabels" if field == "podSelector" else field
    assert (found.field, found.by) == (f"spec.{told}", HAND)


def test_an_empty_selector_is_another_than_none() -> None:
    expected, changed = copy.deepcopy(POLICY), policy()
    expected["spec"]["ingress"][0]["from"][0]["namespaceSelector"] = {}
    (found,) = differences([expected], [changed], {"NetworkPolicy"}, set())
    assert found.field == "spec.ingress.0.from.0.namespaceSelector"
    assert differences([POLICY], [policy()], {"NetworkPolicy"}, set()) == []


def test_a_label_in_the_selector_of_a_service_is_told() -> None:
    changed = {**SERVICE, "spec": {"selector": {"component": "hub", "more": "x"}}}
    (found,) = differences([SERVICE], [changed], {"Service"}, set())
    assert found.field == "spec.selector.more"


def test_a_name_of_a_list_is_no_field() -> None:
    """A volume may be called as a field is."""
    expected, found = (copy.deepcopy(EXPECTED) for _ in range(2))
    for one, more in ((expected, {}), (found, {"defaultMode": 420})):
        volume = {"name": "tls", "secret": {"secretName": "x", **more}}
        one["spec"]["template"]["spec"]["volumes"] = [volume]
    assert compared(found, expected=expected) == []


LABELS = {"app": "w", "component": "hub"}
OURS = ("app", "w")


def open_to(selector: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = policy()
    found["spec"] |= {"podSelector": selector, **more}
    return found


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        ({}, True),
        ({"matchLabels": {"component": "hub"}}, True),
        ({"matchLabels": {"component": "other"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["w"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["w"]}]}, False),
        ({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)
def test_a_policy_made_by_hand_that_opens_pods_of_ours_is_told(
    selector: dict[str, Any], told: bool
) -> None:
    pods = {**EXPECTED, "spec": {"template": {"metadata": {"labels": LABELS}}}}
    found = list(opened([pods], [open_to(selector)], OURS))
    assert [(each.object, each.by) for each in found] == [("NetworkPolicy w-hub", HAND)] * told


def test_what_forbids_what_is_ours_and_what_tools_bring_is_not_told() -> None:
    pods = {**EXPECTED, "spec": {"template": {"metadata": {"labels": LABELS}}}}
    tools, ours = policy(("helm",)), open_to({})
    ours["metadata"]["labels"] = {"app": "w"}
    assert list(opened([pods], [open_to({}, ingress=[]), tools, ours], OURS)) == []
