"""The table of who may talk to whom, proved from inside pods; and nothing reaches the outside."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.e2e.conftest import CHART, DEV, RELEASE, Project
from tests.e2e.kube import OWN_IMAGE, Kube, reached

OUTSIDE = "172.31.255.1"
"""The machine, as pods on the node of ci/cluster see it: it stands for all that is outside."""

ALLOWED = {
    # No rule of ours holds a foreign pod back: it shows that there is something to be reached.
    "stranger": {"apiserver", "outside"},
    "gateway": {"keycloak", "engine"},
    "vllm": {"model-hub", "minio"},
    "model-hub": {"minio", "keycloak", "apiserver"},
    "minio": set(),
    "keycloak": set(),
    "minio-provision": {"minio"},
    "import": {"minio"},
    "keycloak-realm": {"keycloak"},
    "secrets": {"apiserver"},
    "test": {"gateway", "model-hub"},
}


@pytest.fixture(scope="module")
def places(project: Project, kube: Kube) -> Iterator[dict[str, tuple[str, int]]]:
    """Name → host and port of all that a pod might try."""
    project.install("dev", "--timeout", "300")
    engine = kube.pods(DEV, kube.engines(DEV, "chat")[0].metadata.labels[Kube.COMPONENT])[0]
    # At a port where API servers listen, too: those who may ask one may ask no other machine there.
    with socket.create_server((OUTSIDE, 6443)) as server:
        yield {
            "gateway": (kube.address(DEV, f"{RELEASE}-gateway"), 8080),
            "keycloak": (kube.address(DEV, f"{RELEASE}-keycloak"), 8080),
            "model-hub": (kube.address(DEV, f"{RELEASE}-model-hub"), 8080),
            "minio": (kube.address(DEV, f"{RELEASE}-minio"), 9000),
            "engine": (engine.status.pod_ip, 8000),
            "apiserver": (kube.address("default", "kubernetes"), 443),
            "outside": (OUTSIDE, server.getsockname()[1]),
        }


@pytest.fixture(scope="module")
def reach(kube: Kube, places: dict[str, tuple[str, int]]) -> dict[str, set[str]]:
    """Component → the places that its pods reach, tried by pods that run at the same time."""
    version = yaml.safe_load((CHART / "values.yaml").read_text())["global"]["image"]["tag"]

    def tried(component: str) -> set[str]:
        space = "default" if component == "stranger" else DEV
        with kube.probe_pod(space, RELEASE, component, f"{OWN_IMAGE}:{version}") as pod:
            return reached(kube, space, pod, places)

    with ThreadPoolExecutor(len(ALLOWED)) as pool:
        return dict(zip(ALLOWED, pool.map(tried, ALLOWED), strict=True))


@pytest.mark.parametrize("component", ALLOWED)
def test_who_may_talk_to_whom(reach: dict[str, set[str]], component: str) -> None:
    assert reach[component] == ALLOWED[component]
