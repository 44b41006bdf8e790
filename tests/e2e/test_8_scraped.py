"""What Prometheus would see from the one namespace that is let in, by its operator's own kinds."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.e2e.conftest import CHART, DEV, RELEASE, Project
from tests.e2e.kube import OWN_IMAGE, Kube, until
from tests.services import needs
from waybill.deliver.helm import overlay

pytestmark = pytest.mark.timeout(600)
SPACE, GROUP = "monitoring", ("monitoring.coreos.com", "v1")
COMPONENTS = {"gateway", "keycloak", "minio", "model-hub", "vllm"}
METRIC = re.compile(r"\b(?:envoy_cluster_(?!name)|minio_|vllm:|waybill_hub_)\w+")
"""Of those that run all the time; what labels are called is none."""
FETCH = """
import json, urllib.request
found = {}
for url in json.loads(%r):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found[url] = answer.read().decode()
    except OSError as error:
        found[url] = None
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def monitored(project: Project, kube: Kube) -> None:
    for path in Path(needs("WAYBILL_TEST_PROMETHEUS_OPERATOR")).iterdir():
        kube.apply(path.read_text())
    for kind in ("podmonitors", "prometheusrules"):
        until(f"{kind} are known", lambda: objects(kind) is not None, 30)  # noqa: B023
    kube.make_namespace(SPACE)
    network = {"monitoring": {"namespaceLabels": {"kubernetes.io/metadata.name": SPACE}}}
    wanted = {
        "global": {"network": network},
        "drift": {"enabled": True, "schedule": "0 0 29 2 *"},
        "monitoring": {"podMonitors": {"enabled": True}, "alerts": {"enabled": True}},
    }
    project.values = overlay(project.values, wanted)
    project.install("dev", "--timeout", "300")


def objects(kind: str) -> list[dict[str, Any]]:
    api: Any = client.CustomObjectsApi()
    return list(api.list_namespaced_custom_object(*GROUP, DEV, kind)["items"])


def seen(kube: Kube, urls: list[str], space: str = SPACE) -> dict[str, str | None]:
    """What a pod of a namespace gets there; None where it gets nothing."""
    version = yaml.safe_load((CHART / "values.yaml").read_text())["global"]["image"]["tag"]
    with kube.probe_pod(space, RELEASE, "stranger", f"{OWN_IMAGE}:{version}") as pod:
        found: dict[str, str | None] = json.loads(kube.python(space, pod, FETCH % json.dumps(urls)))
    return found


def targets(kube: Kube, monitor: dict[str, Any]) -> list[str]:
    """The addresses that an operator makes of it."""
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (at,) = monitor["spec"]["podMetricsEndpoints"]
    selector = ",".join(f"{name}={value}" for name, value in wanted.items())
    pods = kube.core.list_namespaced_pod(
        DEV, label_selector=selector, field_selector="status.phase=Running"
    ).items
    ports = {
        (pod.status.pod_ip, port.container_port)
        for pod in pods
        for container in pod.spec.containers
        for port in container.ports or ()
        if port.name == at["port"]
    }
    return [f"http://{host}:{port}{at['path']}" for host, port in sorted(ports)]


@pytest.mark.usefixtures("monitored")
def test_each_monitor_finds_pods_that_show_what_alerts_ask_for(kube: Kube) -> None:
    found = {
        each["metadata"]["labels"][Kube.COMPONENT]: targets(kube, each)
        for each in objects("podmonitors")
    }
    assert found.pop("drift") == [], "its Jobs come and go"
    assert found.keys() == COMPONENTS and all(found.values()), found
    every = [url for urls in found.values() for url in urls]
    inside, outside = seen(kube, every), seen(kube, every, space="default")
    assert all(inside.values()), inside.keys()
    texts = [str(text) for text in inside.values()]
    # A counter of errors has no samples before the first one, but a type.
    known = {name for text in texts for name in re.findall(r"^(?:# TYPE )?([\w:]+)", text, re.M)}
    asked = set(METRIC.findall((CHART / "alerts.yaml").read_text()))
    assert len(asked) > 10 and asked <= known, asked - known
    assert set(outside.values()) == {None}, "nobody else may look"


@pytest.mark.usefixtures("monitored")
def test_prometheus_sees_the_drift_that_was_made_by_hand(kube: Kube) -> None:
    (rule,) = objects("prometheusrules")
    assert "waybill-drift" in {group["name"] for group in rule["spec"]["groups"]}
    (monitor,) = [
        each for each in objects("podmonitors") if each["metadata"]["name"].endswith("drift")
    ]
    kube.scale(DEV, "deployment", f"{RELEASE}-model-hub", 1)
    with looking(kube, "drift-seen"):
        until("the Job shows its metrics", lambda: targets(kube, monitor), 60)
        (text,) = shown(kube, monitor)
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert float(counts["waybill_drift_findings"]) == 1
    assert float(counts["waybill_drift_unread_kinds"]) == 0
    kube.scale(DEV, "deployment", f"{RELEASE}-model-hub", 2)


def shown(kube: Kube, monitor: dict[str, Any]) -> list[str]:
    """What its pods show, once they do: they listen when they have looked."""
    texts: list[str | None] = []

    def all_of_it() -> bool:
        texts[:] = seen(kube, targets(kube, monitor)).values()
        return all(texts)

    until("its pods show something", all_of_it, 60)
    return [text for text in texts if text]


@contextmanager
def looking(kube: Kube, name: str) -> Iterator[None]:
    """The Job that the CronJob starts, now. It would stay for minutes, for who comes by."""
    template = kube.batch.read_namespaced_cron_job(f"{RELEASE}-drift", DEV).spec.job_template
    body = {"metadata": {"name": name}, "spec": template.spec}
    kube.batch.create_namespaced_job(DEV, body)
    try:
        yield
    finally:
        kube.batch.delete_namespaced_job(name, DEV, propagation_policy="Background")
