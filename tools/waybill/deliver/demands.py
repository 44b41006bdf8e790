"""What rendered manifests ask of a cluster: room, GPUs, and what others have put there before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from waybill.deliver.helm import Manifest
from waybill.deliver.rollout import Object
from waybill.deliver.secrets import Plan
from waybill.errors import BadValue

GPU = "nvidia.com/gpu"
CUDA = "waybill/cuda-version"
"""What the chart writes on an engine whose image has CUDA in it."""
CUDA_LABELS = ("nvidia.com/cuda.runtime-version", "nvidia.com/cuda.runtime")
"""What NVIDIA's feature discovery begins the labels with that say what a driver runs; the second
is the older one, which it means to leave out."""
_UNITS: dict[str, float] = {
    "": 1,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "k": 10**3,
    "M": 10**6,
}
_UNITS |= {"G": 10**9, "T": 10**12, "m": 0.001}


class Named(NamedTuple):
    """An object that pods need by its name."""

    kind: str
    name: str


_EVERYWHERE = Named("ConfigMap", "kube-root-ca.crt")
"""Kubernetes puts it into each namespace."""


def quantity(text: str) -> float:
    """Bytes or cores of a quantity, as `100Gi` or `250m`. The values' schema knows no other form.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    if match is None or match[2] not in _UNITS:
        raise BadValue(what="quantity", value=text, why="write it as 100Gi, 1.5T or 250m")
    return float(match[1]) * _UNITS[match[2]]


def resource(manifest: Manifest) -> tuple[str, str]:
    """Group and plural, as roles name a kind."""
    kind = manifest["kind"].lower()
    plural = (
        f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind[-1] == "s" else f"{kind}s"
    )
    return manifest["apiVersion"].rpartition("/")[0], plural


def claims(manifest: Manifest) -> list[Object]:
    """The volumes that it makes."""
    if manifest["kind"] == "PersistentVolumeClaim":
        return [manifest]
    return list(manifest.get("spec", {}).get("volumeClaimTemplates") or ())


def kept_on_disk(deployment: Manifest) -> float:
    """Bytes on its node, by the limits of its pod's folders."""
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or ()
    folders = [each["emptyDir"] for each in volumes if each.get("emptyDir")]
    on_disk = [each for each in folders if each.get("medium") != "Memory"]
    return sum(quantity(each.get("sizeLimit", "0")) for each in on_disk)


def gpus(manifest: Manifest) -> int:
    """Of one pod."""
    if manifest["kind"] != "Deployment":
        return 0
    containers = manifest["spec"]["template"]["spec"]["containers"]
    limits = [each.get("resources", {}).get("limits", {}) for each in containers]
    return sum(int(each.get(GPU, 0)) for each in limits)


def cuda_of(engine: Manifest) -> tuple[int, int]:
    """The CUDA version of an engine's image as (major, minor); (0, 0) where none is known."""
    text = (engine["metadata"].get("annotations") or {}).get(CUDA, "0.0")
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def given(manifests: Iterable[Manifest]) -> set[Named]:
    """What pods need and neither the chart nor its hook makes: it must be there before."""
    manifests = list(manifests)
    made = {Named(each["kind"], each["metadata"]["name"]) for each in manifests}
    made |= {Named("Secret", name) for name in Plan.among(manifests).secrets} | {_EVERYWHERE}
    return {need for each in manifests for need in _needs(each)} - made


def _needs(manifest: Manifest) -> Iterator[Named]:
    spec = manifest.get("spec") or {}
    pod = spec if manifest["kind"] == "Pod" else spec.get("template", {}).get("spec") or {}
    for secret in pod.get("imagePullSecrets") or ():
        yield Named("Secret", secret["name"])
    if name := pod.get("priorityClassName"):
        yield Named("PriorityClass", name)
    for volume in pod.get("volumes") or ():
        for source in [volume, *volume.get("projected", {}).get("sources", ())]:
            yield from _from(source, "secret", "configMap", "persistentVolumeClaim")
    for container in [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]:
        for source in container.get("envFrom") or ():
            yield from _from(source, "secretRef", "configMapRef")
        for variable in container.get("env") or ():
            yield from _from(variable.get("valueFrom", {}), "secretKeyRef", "configMapKeyRef")


def _from(source: Object, *keys: str) -> Iterator[Named]:
    """What a source of a volume or of variables names; pods start without an optional one."""
    for key in keys:
        named = source.get(key) or {}
        name = named.get("name") or named.get("secretName") or named.get("claimName")
        if name and not named.get("optional"):
            kind = key[0].upper() + key[1:].removesuffix("Ref").removesuffix("Key")
            yield Named(kind, name)
