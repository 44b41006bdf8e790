"""What a pod may ask for and Compose cannot say: refused, as a service without it misleads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from waybill.deliver.compose.pods import Pod, is_hook
from waybill.deliver.helm import Manifest
from waybill.errors import NotInCompose

_KINDS = {"CronJob", "DaemonSet", "Pod", "ReplicaSet"}
"""Workloads that no service is like."""
_VOLUMES = {"configMap", "emptyDir", "hostPath", "persistentVolumeClaim", "projected", "secret"}
_PROJECTED = {"configMap", "secret", "serviceAccountToken"}
"""The last is left out: a cluster's token is good for nothing without a cluster."""
_VALUE = "give its value, or take it from a Secret"
_FILE = "mount a ConfigMap, a Secret, a claim or a path of the host"
_WHOLE = "mount the whole volume, or single keys by `items`"
_NEEDED = "leave out `optional`, or the whole of it"
Unsaid = Iterator[tuple[str, str]]
"""(what is asked for, what to do)."""


def check_kinds(objects: Iterable[Manifest]) -> None:
    """Raises NotInCompose for workloads that have no services."""
    for each in objects:
        if each["kind"] in _KINDS and not is_hook(each):
            advice = "switch it off in this environment's values"
            raise NotInCompose(where=each["metadata"]["name"], what=each["kind"], advice=advice)


def check(pod: Pod) -> None:
    """Raises NotInCompose for what its services would lack."""
    for what, advice in _of_pod(pod):
        raise NotInCompose(where=pod.component, what=what, advice=advice)


def _of_pod(pod: Pod) -> Unsaid:
    if len(pod.containers) > 1:
        yield "a second container", "let a workload of its own run it"
    for container in [*pod.first, *pod.containers]:
        yield from _of_container(container)
    for volume in pod.spec.get("volumes") or ():
        yield from _of_volume(volume)


def _of_container(container: Mapping[str, Any]) -> Unsaid:
    if container.get("envFrom"):
        yield "envFrom", _VALUE
    if container.get("restartPolicy") == "Always":
        yield "an init container that stays", "let a workload of its own run it"
    for each in container.get("env") or ():
        for kind, source in (each.get("valueFrom") or {}).items():
            if kind != "secretKeyRef":
                yield f"{each['name']} by {kind}", _VALUE
            elif source.get("optional"):
                yield f"{each['name']} if there is one", _NEEDED
    for mount in container.get("volumeMounts") or ():
        for key in ("subPath", "subPathExpr"):
            if key in mount:
                yield f"{mount['mountPath']} by {key}", _WHOLE


def _of_volume(volume: Mapping[str, Any]) -> Unsaid:
    sources = (volume.get("projected") or {}).get("sources") or ()
    for one, known in ((volume, _VOLUMES), *((each, _PROJECTED) for each in sources)):
        for kind, told in one.items():
            if kind != "name" and kind not in known:
                yield f"the volume {volume['name']} by {kind}", _FILE
            elif kind in ("configMap", "secret") and told.get("optional"):
                yield f"the volume {volume['name']} if there is one", _NEEDED
