"""One container of a pod as a service of Compose: what it runs, may do, mounts and is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from waybill.deliver.compose.pods import NO_KEYS, Pod
from waybill.deliver.demands import quantity
from waybill.errors import NotInCompose

CONFIG, SECRETS, DATA = "config", "secrets", "data"
"""Folders beside compose.yaml: what is rendered, what nobody else may read, what grows."""
ENV = f"{SECRETS}/env"
"""Files of variables, one a service."""
_SHM, _TMP = "/dev/shm", "/tmp"  # noqa: S108 - where containers have them
_PYTHON = (
    "import sys, urllib.request as r; "
    "sys.exit(r.urlopen(sys.argv[1], timeout=float(sys.argv[2])).status != 200)"
)
_BASH = (
    'exec 3<>"/dev/tcp/127.0.0.1/$1" '
    '&& printf "GET %s HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n" "$2" >&3 '
    '&& read -r _ code _ <&3 && [ "$code" = 200 ]'
)
_CLIENTS = {"model-hub": "python", "vllm": "python", "gateway": "bash", "keycloak": "bash"}
"""What each image has to ask itself over HTTP with; MinIO's has nothing."""

Service = dict[str, Any]


@dataclass
class Translation:
    """What services need beside compose.yaml, gathered while they are made.

    `env` is service -> variable -> (Secret, key); `given` are paths of files and folders that
    must be there; `folders` are those that the containers write to.
    """

    data: str
    env: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def service(self, pod: Pod, container: Mapping[str, Any], name: str) -> Service:
        """Everything but networks, order and GPUs. Raises NotInCompose."""
        found: Service = {
            "image": container["image"],
            "restart": "unless-stopped",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            # What is never rotated fills the disk of a host that nobody looks at.
            "logging": {"driver": "json-file", "options": {"max-size": "100m"}},
            "stop_grace_period": f"{pod.spec.get('terminationGracePeriodSeconds', 30)}s",
            **_command(container),
            **_user(pod.spec),
            **_limits(container),
            **_health(pod, container),
        }
        if restarts := (pod.manifest["spec"]["template"]["metadata"].get("annotations") or {}):
            found["labels"] = dict(restarts)
        self._environment(found, container, name)
        self._mounts(found, pod, container)
        return found

    def _environment(self, found: Service, container: Mapping[str, Any], name: str) -> None:
        for each in container.get("env") or ():
            source = (each.get("valueFrom") or {}).get("secretKeyRef")
            if source is None:
                found.setdefault("environment", {})[each["name"]] = each.get("value", "")
            elif source["name"] != NO_KEYS:
                keys = self.env.setdefault(name, {})
                keys[each["name"]] = (source["name"], source["key"])
                self.given.add(f"{SECRETS}/{source['name']}/{source['key']}")
        if name in self.env:
            found["env_file"] = [f"./{ENV}/{name}"]

    def _mounts(self, found: Service, pod: Pod, container: Mapping[str, Any]) -> None:
        volumes = _volumes(pod)
        for mount in container.get("volumeMounts") or ():
            volume, at = volumes[mount["name"]], mount["mountPath"]
            memory = volume.get("emptyDir")
            if memory is not None and not (at != _TMP and _shared(pod, mount["name"])):
                _in_memory(found, at, memory)
                continue
            for source, target in self._binds(pod, volume, at):
                bind = {"create_host_path": False} | ({} if source[0] == "/" else {"selinux": "z"})
                entry = {"type": "bind", "source": source, "target": target, "bind": bind}
                read_only = {"read_only": True} if mount.get("readOnly") else {}
                found.setdefault("volumes", []).append(entry | read_only)

    def _binds(self, pod: Pod, volume: Mapping[str, Any], at: str) -> Iterator[tuple[str, str]]:
        """(path on the host, path in the container) for one volume at its mount."""
        if "emptyDir" in volume or "persistentVolumeClaim" in volume:
            claim = volume.get("persistentVolumeClaim") or {}
            folder = claim.get("claimName") or f"{pod.component}-{volume['name']}"
            self.folders.add(folder)
            yield f"{self.data}/{folder}", at
        elif "hostPath" in volume:
            yield volume["hostPath"]["path"], at
        elif "projected" in volume:
            for source in volume["projected"]["sources"]:
                yield from self._files(source, at)
        else:
            yield from self._files(volume, at)

    def _files(self, source: Mapping[str, Any], at: str) -> Iterator[tuple[str, str]]:
        """Of a ConfigMap or Secret, whole or some of its keys; a cluster's tokens are left out."""
        for kind, folder in (("configMap", CONFIG), ("secret", SECRETS)):
            if kind not in source:
                continue
            path = f"{folder}/{source[kind].get('name') or source[kind].get('secretName')}"
            items = source[kind].get("items")
            self.given |= {f"{path}/{item['key']}" for item in items or ()} or {path}
            if items is None:
                yield f"./{path}", at
            for item in items or ():
                yield f"./{path}/{item['key']}", f"{at}/{item['path']}"


def _command(container: Mapping[str, Any]) -> Service:
    """Kubernetes' command is the entrypoint of an image, its args the command."""
    words = {"entrypoint": container.get("command"), "command": container.get("args")}
    return {key: list(value) for key, value in words.items() if value}


def _user(spec: Mapping[str, Any]) -> Service:
    context = spec.get("securityContext") or {}
    found: Service = {}
    if "runAsUser" in context:
        found["user"] = str(context["runAsUser"])
    if "fsGroup" in context:
        found["group_add"] = [str(context["fsGroup"])]
    return found


def _limits(container: Mapping[str, Any]) -> Service:
    limits = (container.get("resources") or {}).get("limits") or {}
    found = {}
    if "memory" in limits:
        found["memory"] = size(limits["memory"])
    if "cpu" in limits:
        found["cpus"] = f"{quantity(limits['cpu']):g}"
    return {"deploy": {"resources": {"limits": found}}} if found else {}


def gpus(container: Mapping[str, Any]) -> int:
    """How many devices a container asks for. Raises NotInCompose for those of other vendors."""
    limits = (container.get("resources") or {}).get("limits") or {}
    count = 0
    for name, amount in limits.items():
        if name.startswith("nvidia.com/"):
            count += int(amount)
        elif "/" in name:
            advice = "use nvidia.com/gpu, or a profile without a GPU"
            raise NotInCompose(where="a profile", what=f"{name} in its limits", advice=advice)
    return count


def size(text: str) -> str:
    """A quantity of bytes as Compose writes it."""
    count = int(quantity(text))
    return f"{count // 2**20}m" if count % 2**20 == 0 else f"{count}b"


def _volumes(pod: Pod) -> dict[str, Mapping[str, Any]]:
    """By name; what a StatefulSet claims for its pods is a volume, too."""
    named = {each["name"]: each for each in pod.spec.get("volumes") or ()}
    for each in pod.manifest["spec"].get("volumeClaimTemplates") or ():
        name = each["metadata"]["name"]
        claim = {"claimName": f"{pod.component}-{name}"}
        named[name] = {"name": name, "persistentVolumeClaim": claim}
    return named


def _shared(pod: Pod, volume: str) -> bool:
    """Whether more than one container of the pod mounts it: then it outlives them."""
    mounts = [each.get("volumeMounts") or () for each in [*pod.first, *pod.containers]]
    return sum(any(each["name"] == volume for each in one) for one in mounts) > 1


def _in_memory(found: Service, at: str, volume: Mapping[str, Any]) -> None:
    """An emptyDir; Docker would let nothing run from it, and engines compile into theirs."""
    limit = size(volume["sizeLimit"]) if "sizeLimit" in volume else ""
    if at == _SHM:
        found |= {"ipc": "private", "shm_size": limit or "64m"}
    else:
        options = "mode=1777,exec,nosuid,nodev" + (f",size={limit}" if limit else "")
        found.setdefault("tmpfs", []).append(f"{at}:{options}")


def _health(pod: Pod, container: Mapping[str, Any]) -> Service:
    """Readiness, with the patience of the startup probe before it counts."""
    probe = container.get("readinessProbe")
    start = container.get("startupProbe") or {}
    test = _test(pod, container, probe) if probe else None
    if probe is None or test is None:
        return {}
    every = start.get("periodSeconds", 10)
    health = {
        "test": ["CMD", *test],
        "interval": f"{probe.get('periodSeconds', 10)}s",
        "timeout": f"{probe.get('timeoutSeconds', 1)}s",
        "retries": probe.get("failureThreshold", 3),
        "start_period": f"{every * start.get('failureThreshold', 3)}s",
        "start_interval": f"{every}s",
    }
    return {"healthcheck": health}


def _test(pod: Pod, container: Mapping[str, Any], probe: Mapping[str, Any]) -> list[str] | None:
    if "exec" in probe:
        return list(probe["exec"]["command"])
    ask = probe["httpGet"]
    port = {each["name"]: each["containerPort"] for each in container["ports"]}[ask["port"]]
    match _CLIENTS.get(pod.part):
        case "python":
            url = f"http://127.0.0.1:{port}{ask['path']}"
            return ["python3", "-c", _PYTHON, url, str(probe.get("timeoutSeconds", 1))]
        case "bash":
            return ["bash", "-c", _BASH, "health", str(port), str(ask["path"])]
        case _:
            return None
