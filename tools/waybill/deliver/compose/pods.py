"""What the chart renders for an environment, with what differs where there is no Kubernetes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from waybill.deliver import install
from waybill.deliver.helm import Helm, Manifest

ENGINE, HUB = "vllm", "model-hub"
WEIGHTS = "models"
"""The claim that all engines share, so that a revision is fetched once."""
DIRECTORY = "/store"
"""Where the hub finds a store that is a directory."""
LOOPBACK = "127.0.0.1"
NO_KEYS = "no-keys"
"""Named as the Secret of a store that asks for no keys."""
_OFF = {"enabled": False}
_ALONE: Mapping[str, Any] = {
    # The plan of Secrets is one of the hook's objects.
    "global": {"secrets": {"create": True}, "network": {"policies": True}},
    # No token is there to be had: of what runs, only the services that pull reach the hub.
    "modelHub": {"replicas": 1, "auth": _OFF, "ingress": _OFF},
    "gateway": {"replicas": 1, "ingress": _OFF},
    "keycloak": {"replicas": 1, "ingress": _OFF},
    "minio": {"ingress": _OFF},
    "monitoring": {"podMonitors": _OFF, "alerts": _OFF, "dashboard": _OFF},
    "import": _OFF,
    # It compares with a cluster.
    "drift": _OFF,
}
_LABELS = "app.kubernetes.io"


@dataclass(frozen=True)
class Pod:
    """The pods of one workload. `part` is the component, but the same for all engines."""

    component: str
    part: str
    manifest: Manifest

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.manifest["spec"]["template"]["spec"]
        return spec

    @property
    def first(self) -> list[Mapping[str, Any]]:
        """The containers that end before the others begin."""
        return list(self.spec.get("initContainers") or ())

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return list(self.spec["containers"])

    @property
    def once(self) -> bool:
        """Whether it does its work and ends."""
        return bool(self.manifest["kind"] == "Job")

    @property
    def replicas(self) -> int:
        """Only engines are worth a second one on the same host."""
        return int(self.manifest["spec"].get("replicas", 1)) if self.part == ENGINE else 1


def rendered(release: Helm, store: str) -> list[Manifest]:
    """The release's objects, as Compose can carry them; `store` is the environment's, a URL.

    Raises HelmMissing, HelmFailed, BadFile, BadEngineArguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        over = Path(folder) / "compose.json"
        over.write_text(json.dumps(_overlay(release.values(), store)))
        return install.render(replace(release, files=[*release.files, over]))


def pods(objects: Iterable[Manifest]) -> list[Pod]:
    """All workloads but those of hooks, which belong to Helm."""
    kinds = ("Deployment", "StatefulSet", "Job")
    found = [each for each in objects if each["kind"] in kinds and not is_hook(each)]
    return sorted((_pod(each) for each in found), key=lambda pod: pod.component)


def is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


def _pod(manifest: Manifest) -> Pod:
    labels = manifest["metadata"]["labels"]
    return Pod(labels[f"{_LABELS}/component"], labels[f"{_LABELS}/name"], manifest)


def _overlay(values: Mapping[str, Any], store: str) -> dict[str, Any]:
    """Values over those of the environment."""
    over: dict[str, Any] = json.loads(json.dumps(_ALONE))
    over["global"]["profiles"] = dict(_shared(values["global"]["profiles"]))
    parts = urlsplit(store)
    if parts.scheme == "file":
        over["minio"]["enabled"] = False
        over["global"]["objectStore"] = {
            "mode": "external",
            "endpoint": "http://localhost",
            "users": {"hub": {"existingSecret": NO_KEYS}},
        }
        # The chart wants to know where the store is; nothing leaves the host for this one.
        here = {"enabled": True, "cidr": f"{LOOPBACK}/32", "ports": [443], "from": [HUB]}
        over["global"]["network"]["external"] = {"store": here}
        over["modelHub"] |= _reads_directory(values["modelHub"], unquote(parts.path))
    return over


def _shared(profiles: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Profiles whose weights would live and die with a pod."""
    claim = {"weights": {"type": "persistentVolumeClaim", "claimName": WEIGHTS}}
    for name, profile in profiles.items():
        if (profile.get("weights") or {}).get("type", "emptyDir") == "emptyDir":
            yield name, claim


def _reads_directory(hub: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The hub's values for a store that is a directory of this host."""
    volume = {"name": "store", "hostPath": {"path": path}}
    mount = {"name": "store", "mountPath": DIRECTORY, "readOnly": True}
    settings = {"WAYBILL_HUB_STORE": f"file://{DIRECTORY}", "WAYBILL_HUB_ENDPOINT": ""}
    return {
        "delivery": "proxy",
        "env": settings,
        "extraVolumes": [*hub["extraVolumes"], volume],
        "extraVolumeMounts": [*hub["extraVolumeMounts"], mount],
    }
