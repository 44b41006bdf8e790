"""The cluster as the tests see it: the real API by the `kubernetes` client."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import yaml
from kubernetes import client, config, utils
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

OWN_IMAGE = "waybill.local/waybill/waybill"


class Kube:
    """A cluster, by the kubeconfig that the environment names."""

    COMPONENT = "app.kubernetes.io/component"

    def __init__(self) -> None:
        config.load_kube_config()  # type: ignore[no-untyped-call]
        self.core: Any = client.CoreV1Api()
        self.apps: Any = client.AppsV1Api()
        self.batch: Any = client.BatchV1Api()

    def make_namespace(self, name: str) -> None:
        """With the Pod Security Standard `restricted` enforced: nothing of ours may need more."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        with made_once():
            self.core.create_namespace({"metadata": {"name": name, "labels": labels}})

    def namespaces(self) -> set[str]:
        return {each.metadata.name for each in self.core.list_namespace().items}

    def apply(self, text: str) -> None:
        """Make the objects of a YAML text."""
        for each in yaml.safe_load_all(text):
            with made_once():
                utils.create_from_dict(self.core.api_client, each)  # type: ignore[no-untyped-call]

    def address(self, namespace: str, service: str) -> str:
        """The ClusterIP, which the machine reaches, too."""
        return str(self.core.read_namespaced_service(service, namespace).spec.cluster_ip)

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        found = self.core.read_namespaced_secret(name, namespace)
        return {key: base64.b64decode(value).decode() for key, value in found.data.items()}

    def pods(self, namespace: str, component: str) -> list[Any]:
        selector = f"{self.COMPONENT}={component}"
        found = self.core.list_namespaced_pod(namespace, label_selector=selector).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def engines(self, namespace: str, model: str = "") -> list[Any]:
        """The pods of a model's engines, of all revisions; those that are ending, too."""
        found = self.core.list_namespaced_pod(
            namespace, label_selector="app.kubernetes.io/name=vllm"
        ).items
        mine = f"vllm-{model}-" if model else "vllm-"
        return [pod for pod in found if pod.metadata.labels[self.COMPONENT].startswith(mine)]

    def kill(self, namespace: str, component: str) -> None:
        """Delete one pod of a component without grace, as a node that dies does."""
        pod = self.pods(namespace, component)[0]
        self.core.delete_namespaced_pod(pod.metadata.name, namespace, grace_period_seconds=0)

    def scale(self, namespace: str, kind: str, name: str, replicas: int) -> None:
        patch = getattr(self.apps, f"patch_namespaced_{kind}_scale")
        patch(name, namespace, {"spec": {"replicas": replicas}})

    def python(self, namespace: str, pod: str, script: str) -> str:
        """What a script prints that runs in a pod of our own image."""
        # A client of its own: stream() changes the one that it is given while it talks.
        channel = stream(
            client.CoreV1Api(client.ApiClient()).connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=["python3", "-c", script],
            stderr=True,
            stdout=True,
            _preload_content=False,
        )
        try:
            channel.run_forever(timeout=60)
            return str(channel.read_all())
        finally:
            # close() leaves a socket open whose other end has said goodbye first.
            channel.sock.shutdown()

    @contextmanager
    def probe_pod(self, namespace: str, release: str, component: str, image: str) -> Iterator[str]:
        """A pod that the network rules take for one of the component's, and no Service does."""
        name = f"probe-{component}"
        labels = {
            "app.kubernetes.io/instance": release,
            "app.kubernetes.io/part-of": "waybill",
            "app.kubernetes.io/name": component,
            # No Service selects it: those name the component.
            self.COMPONENT: name,
        }
        security = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "probe",
            "image": image,
            "command": ["python3", "-c", "import time; time.sleep(3600)"],
            "securityContext": security,
        }
        metadata = {"name": name, "labels": {} if component == "stranger" else labels}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        self.core.create_namespaced_pod(namespace, {"metadata": metadata, "spec": spec})
        try:
            until(f"{name} runs", lambda: self._phase(namespace, name) == "Running", 90)
            yield name
        finally:
            self.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)

    def _phase(self, namespace: str, pod: str) -> str:
        return str(self.core.read_namespaced_pod(pod, namespace).status.phase)


@contextmanager
def made_once() -> Iterator[None]:
    """A cluster that a person keeps between two runs has it already."""
    try:
        yield
    except (ApiException, utils.FailToCreateError) as error:
        errors = getattr(error, "api_exceptions", [error])
        if any(each.status != HTTPStatus.CONFLICT for each in errors):
            raise


def until(what: str, true: Callable[[], object], seconds: float) -> None:
    """Poll; an API error while an object comes or goes counts as `not yet`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except ApiException:
            pass
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.5)


def reached(kube: Kube, namespace: str, pod: str, places: dict[str, tuple[str, int]]) -> set[str]:
    """The names of the places (host, port) that a pod can open a connection to, tried at once."""
    script = f"""
import json, socket
from concurrent.futures import ThreadPoolExecutor
places = json.loads({json.dumps(json.dumps(places))})
def can(place):
    try:
        socket.create_connection(tuple(place), 3).close()
        return True
    except OSError:
        return False
with ThreadPoolExecutor(len(places)) as pool:
    print(json.dumps([name for name, yes in zip(places, pool.map(can, places.values())) if yes]))
"""
    return set(json.loads(kube.python(namespace, pod, script)))
