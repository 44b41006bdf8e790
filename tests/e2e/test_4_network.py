"""The table of who may talk to whom, proved from inside pods; and nothing reaches the outside."""

import socket
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.conftest import CHART, DEV, RELEASE
from tests.e2e.kube import OWN_IMAGE, Kube, reached

OUTSIDE = "172.31.255.1"
"""The machine, as pods on the node of ci/cluster see it: it stands for all that is outside."""

ALLOWED = {
    "stranger": {"gateway", "keycloak", "model-hub", "minio"},
    "gateway": {"keycloak", "engine"},
    "vllm": {"model-hub", "minio"},
    "model-hub": {"minio", "keycloak", "apiserver"},
    "minio": set(),
    "keycloak": set(),
    "minio-provision": {"minio"},
    "keycloak-realm": {"keycloak"},
    "secrets": {"apiserver"},
}


@pytest.fixture(scope="module")
def places(kube: Kube) -> Iterator[dict[str, tuple[str, int]]]:
    """Name → host and port of all that a pod might try."""
    engine = kube.engines(DEV, "chat")[0]
    with socket.create_server((OUTSIDE, 0)) as server:
        yield {
            "gateway": (kube.address(DEV, f"{RELEASE}-gateway"), 8080),
            "keycloak": (kube.address(DEV, f"{RELEASE}-keycloak"), 8080),
            "model-hub": (kube.address(DEV, f"{RELEASE}-model-hub"), 8080),
            "minio": (kube.address(DEV, f"{RELEASE}-minio"), 9000),
            "engine": (engine.status.pod_ip, 8000),
            "apiserver": (kube.address("default", "kubernetes"), 443),
            "outside": (OUTSIDE, server.getsockname()[1]),
        }


@pytest.mark.parametrize("component", ALLOWED)
def test_who_may_talk_to_whom(
    kube: Kube, places: dict[str, tuple[str, int]], component: str
) -> None:
    version = yaml.safe_load((CHART / "values.yaml").read_text())["global"]["image"]["tag"]
    namespace = "default" if component == "stranger" else DEV
    image = f"{OWN_IMAGE}:{version}"
    pod = kube.probe_pod(namespace, RELEASE, component, image)
    found = reached(kube, namespace, pod, places)
    kube.core.delete_namespaced_pod(pod, namespace, grace_period_seconds=0)
    if component == "stranger":  # no rule of ours holds a foreign pod back
        found -= {"apiserver", "outside"}
    assert found == ALLOWED[component]
