"""What was rendered beside what the API server has made of it, and of what people did to it."""

import copy
from typing import Any

import pytest
import yaml

from waybill.deliver.differences import Difference, differences

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
    container(changed)["args"].append("--more")
    (found,) = compared(changed)
    assert found.found == '["--log-level", "debug", "--more"]'


def test_variables_are_compared_by_name_and_one_more_is_told() -> None:
    changed = live()
    container(changed)["env"].append({"name": "C", "value": "3"})
    container(changed)["env"][1]["value"] = "x"
    found = {each.field.rpartition("envoy.")[2]: each for each in compared(changed)}
    assert found.keys() == {"env.B.value", "env.C"}
    assert found["env.C"].expected == "nothing"


def test_of_a_long_text_the_first_line_that_differs_is_shown() -> None:
    expected = {"kind": "ConfigMap", "metadata": {"name": "r"}, "data": {"routes": "a\nb: 1\nc"}}
    changed = {**expected, "data": {"routes": "a\nb: 2\nc"}}
    (found,) = compared(changed, expected=expected)
    assert (found.field, found.expected, found.found) == ("data.routes", "b: 1", "b: 2")


def test_what_somebody_has_added_is_known_by_its_manager() -> None:
    path = ("f:template", "f:spec", "f:nodeSelector", "f:disk")
    changed = live()
    changed["metadata"]["managedFields"] += [
        entry(HAND, *path),
        entry("kube-controller-manager", "f:x", subresource="status"),
        entry("argocd-controller", "f:y"),
        entry("kubectl-rollout", "f:template", "f:metadata", "f:kubectl.kubernetes.io/restartedAt"),
    ]
    (found,) = compared(changed)
    assert found.field == "spec.template.spec.nodeSelector.disk"
    assert found.by.startswith(HAND)


def test_a_field_of_a_list_item_is_found_by_its_keys() -> None:
    at = ("f:template", "f:spec", "f:containers", 'k:{"name":"envoy"}')
    changed = live()
    changed["metadata"]["managedFields"] += [entry(HAND, *at, "f:tty"), entry(HAND, *at, "f:image")]
    (found,) = compared(changed)
    assert found.field == "spec.template.spec.containers.tty"
