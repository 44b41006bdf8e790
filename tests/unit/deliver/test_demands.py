"""What manifests ask for: objects that others make, and amounts."""

import json
from typing import Any

import pytest

from waybill.deliver import demands
from waybill.deliver.demands import Named


def deployment(**pod: Any) -> dict[str, Any]:
    spec = {"containers": [], **pod}
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": spec}}}


def container(**said: Any) -> dict[str, Any]:
    return deployment(containers=[{"name": "c", **said}])


def volume(**source: Any) -> dict[str, Any]:
    return deployment(volumes=[{"name": "v", **source}])


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        (deployment(imagePullSecrets=[{"name": "x"}]), "Secret"),
        (deployment(priorityClassName="x"), "PriorityClass"),
        (volume(secret={"secretName": "x"}), "Secret"),
        (volume(configMap={"name": "x"}), "ConfigMap"),
        (volume(persistentVolumeClaim={"claimName": "x"}), "PersistentVolumeClaim"),
        (volume(projected={"sources": [{"secret": {"name": "x"}}]}), "Secret"),
        (volume(projected={"sources": [{"configMap": {"name": "x"}}]}), "ConfigMap"),
        (container(envFrom=[{"secretRef": {"name": "x"}}]), "Secret"),
        (container(envFrom=[{"configMapRef": {"name": "x"}}]), "ConfigMap"),
        (container(env=[{"valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]), "Secret"),
        (container(env=[{"valueFrom": {"configMapKeyRef": {"name": "x"}}}]), "ConfigMap"),
        (deployment(initContainers=[{"envFrom": [{"secretRef": {"name": "x"}}]}]), "Secret"),
        ({**deployment(priorityClassName="x"), "kind": "Job"}, "PriorityClass"),
        (
            {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"priorityClassName": "x"}},
            "PriorityClass",
        ),
    ],
)
def test_every_way_to_name_an_object(manifest: dict[str, Any], kind: str) -> None:
    assert demands.given([manifest]) == {Named(kind, "x")}


@pytest.mark.parametrize(
    "manifest",
    [
        container(envFrom=[{"secretRef": {"name": "x", "optional": True}}]),
        volume(secret={"secretName": "x", "optional": True}),
        volume(emptyDir={}),
        volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
        volume(configMap={"name": "kube-root-ca.crt"}),
        container(env=[{"name": "A", "value": "b"}]),
        {"kind": "Service", "metadata": {"name": "s"}, "spec": {}},
        {"kind": "Role", "metadata": {"name": "r"}},
    ],
)
def test_what_nobody_has_to_make(manifest: dict[str, Any]) -> None:
    assert demands.given([manifest]) == set()


def test_what_the_chart_and_its_hook_make_is_not_asked_for() -> None:
    plan = {"labels": {}, "secrets": {"x": {"key": {"random": 40}}}}
    hook = {
        "kind": "ConfigMap",
        "metadata": {"name": "plan"},
        "data": {"plan.json": json.dumps(plan)},
    }
    needy = [volume(secret={"secretName": "x"}), volume(configMap={"name": "plan"})]
    assert demands.given([hook, *needy]) == set()
    assert demands.given(needy) == {Named("Secret", "x"), Named("ConfigMap", "plan")}


@pytest.mark.parametrize(
    ("text", "bytes_"), [("1Gi", 2**30), ("1.5T", 1.5e12), ("250m", 0.25), ("7", 7)]
)
def test_quantities(text: str, bytes_: float) -> None:
    assert demands.quantity(text) == bytes_
