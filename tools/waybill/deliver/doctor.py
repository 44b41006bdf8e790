"""What could make an installation fail, looked at before it: each check gives findings.

Nothing stays changed anywhere: what the probe of an object store writes, it removes. A check that
cannot be made is a warning that says so.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx2

from waybill.deliver import cluster as clusters
from waybill.deliver import helm as helms
from waybill.deliver import install, pins
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm, Manifest
from waybill.deliver.rollout import Object
from waybill.errors import BadValue, ClusterUnreachable, NotAStore, WaybillError
from waybill.store.store import Store

OLDEST = (1, 27)
"""Kubernetes, as Chart.yaml's kubeVersion says."""
SKEW = timedelta(seconds=60)
"""The leeway that token checks give."""
GPU = "nvidia.com/gpu"
CUDA = "waybill/cuda-version"
"""What the chart writes on an engine whose image has CUDA in it."""
WATCHING = (("patch", "pods"), ("get", "pods/log"), ("list", "events"))
"""What `waybill install` does without, less well: it then refreshes and explains less."""
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


@dataclass(frozen=True)
class Finding:
    """`level` is ok, warn or fail; `hint` says what to do about the last two."""

    check: str
    level: str
    message: str
    hint: str = ""


class Cluster(Protocol):
    """What the checks ask of a cluster."""

    def version(self) -> tuple[int, int]: ...
    def clock(self) -> datetime | None: ...
    def allowed(self, verb: str, group: str, resource: str) -> bool: ...
    def kinds(self, version: str) -> frozenset[str]: ...
    def listed(self, kind: str, selector: str = "") -> list[Object]: ...


@dataclass(frozen=True)
class Case:
    """All that the checks look at."""

    environment: Environment
    cluster: Cluster
    values: Mapping[str, Any]
    manifests: list[Manifest]


def examine(environment: Environment, helm: Helm) -> list[Finding]:
    """All findings, in the order of the checks. Raises what makes every check senseless:
    HelmMissing, HelmFailed and BadEngineArguments for values that are refused, BadFile.
    """
    found = ".".join(map(str, helms.version()))
    first = [Finding("helm", "ok", f"{helms.program()} {found}")]
    manifests = install.render(helm)
    first.append(Finding("values", "ok", f"the chart takes them: {len(manifests)} objects"))
    cluster = clusters.Cluster(helm.namespace, helm.context)
    return [*first, *looked(Case(environment, cluster, helm.values(), manifests))]


def looked(case: Case) -> list[Finding]:
    """The findings of all checks; those of the cluster end with the first when none answers."""
    found = _made(reach, case)
    if found[0].level == "ok":
        found += [each for check in INSIDE for each in _made(check, case)]
    return found + [each for check in AROUND for each in _made(check, case)]


def _made(check: Callable[[Case], Iterator[Finding]], case: Case) -> list[Finding]:
    try:
        return list(check(case))
    except ClusterUnreachable as error:
        return [Finding(check.__name__, "fail", str(error), error.advice)]
    except WaybillError as error:
        return [Finding(check.__name__, "warn", str(error), error.advice)]


def reach(case: Case) -> Iterator[Finding]:
    found = case.cluster.version()
    told = f"Kubernetes {found[0]}.{found[1]} answers"
    hint = f"{OLDEST[0]}.{OLDEST[1]} is the oldest that the chart runs on: upgrade the cluster"
    yield Finding("reach", "ok", told) if found >= OLDEST else Finding("reach", "fail", told, hint)


def clock(case: Case) -> Iterator[Finding]:
    if (theirs := case.cluster.clock()) is None:
        hint = "what stands before the API server takes the Date from its answers"
        yield Finding("clock", "warn", "the cluster does not say what time it has", hint)
        return
    skew = abs(theirs - datetime.now(UTC))
    told = f"this machine and the cluster differ by {skew.total_seconds():.0f} s"
    hint = "set both clocks (NTP): tokens and presigned URLs are refused otherwise"
    yield Finding("clock", "ok", told) if skew <= SKEW else Finding("clock", "fail", told, hint)


def rights(case: Case) -> Iterator[Finding]:
    """To make each kind of the chart, the Secrets in which Helm keeps a release, and to watch."""
    hint = "ask for a role that allows it in the namespace"
    asked = {_resource(each) for each in case.manifests} | {("", "secrets")}
    missing = [
        resource
        for group, resource in sorted(asked)
        if not case.cluster.allowed("create", group, resource)
    ]
    if missing:
        told = f"these credentials may not create {', '.join(missing)}"
        yield Finding("rights", "fail", told, hint)
    else:
        yield Finding("rights", "ok", "these credentials may create all that the chart has")
    if not case.cluster.allowed("list", "", "pods"):
        told = "these credentials may not list pods, and so not wait for them"
        yield Finding("rights", "fail", told, hint)
    if blind := [one for one in WATCHING if not case.cluster.allowed(one[0], "", one[1])]:
        acts = ", ".join(" ".join(one) for one in blind)
        told = f"these credentials may not {acts}: a failure is explained less well"
        yield Finding("rights", "warn", told, hint)


def _resource(manifest: Manifest) -> tuple[str, str]:
    """Group and plural, as roles name a kind."""
    kind = manifest["kind"].lower()
    plural = (
        f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind[-1] == "s" else f"{kind}s"
    )
    return manifest["apiVersion"].rpartition("/")[0], plural


def kinds(case: Case) -> Iterator[Finding]:
    """Are all kinds of the chart there? Those of operators may not be."""
    asked: dict[str, set[str]] = {}
    for each in case.manifests:
        asked.setdefault(each["apiVersion"], set()).add(each["kind"])
    hint = "install the operator that brings it, or switch off the value that asks for it"
    for version, wanted in sorted(asked.items()):
        if missing := wanted - case.cluster.kinds(version):
            told = f"the cluster has no {', '.join(sorted(missing))} of {version}"
            yield Finding("kinds", "fail", told, hint)


def storage(case: Case) -> Iterator[Finding]:
    known = case.cluster.listed("storageclasses")
    names = {each["metadata"]["name"] for each in known}
    default = [each for each in known if _is_default(each)]
    wanted = {
        claim["spec"].get("storageClassName")
        for manifest in case.manifests
        for claim in _claims(manifest)
    }
    for name in sorted(filter(None, wanted - names)):
        hint = f"choose one of: {', '.join(sorted(names)) or 'none is there'}"
        yield Finding("storage", "fail", f"there is no storage class {name}", hint)
    if None in wanted and not default:
        hint = "name a storageClass in the values, or mark one as the default"
        yield Finding("storage", "fail", "the cluster has no default storage class", hint)
    elif not wanted - names - {None}:
        yield Finding("storage", "ok", f"{len(names)} storage classes, those that are named too")


def _is_default(storage_class: Object) -> bool:
    marks = storage_class["metadata"].get("annotations") or {}
    return bool(marks.get("storageclass.kubernetes.io/is-default-class") == "true")


def _claims(manifest: Manifest) -> list[Object]:
    if manifest["kind"] == "PersistentVolumeClaim":
        return [manifest]
    return list(manifest.get("spec", {}).get("volumeClaimTemplates") or ())


def space(case: Case) -> Iterator[Finding]:
    """Will what is pinned fit the embedded object store?"""
    needed = sum(
        revision.size
        for pin in pins.load(case.environment.pins_path).models.values()
        for revision in pin.revisions.values()
    )
    if not case.values["minio"]["enabled"]:
        return
    size = case.values["minio"]["storage"]["size"]
    told = f"{needed / 1e9:.1f} GB are pinned, and minio.storage.size is {size}"
    hint = "raise minio.storage.size: one revision more than is pinned should fit"
    full = needed * 1.1 > quantity(size)
    yield Finding("space", "fail", told, hint) if full else Finding("space", "ok", told)


def disk(case: Case) -> Iterator[Finding]:
    """Is there a node whose own disk can hold the weights that the largest engine keeps there?"""
    kept = [_kept_on_disk(each) for each in case.manifests if each["kind"] == "Deployment"]
    if not (needed := max(kept, default=0.0)):
        return
    room = max(
        (
            quantity(node["status"].get("allocatable", {}).get("ephemeral-storage", "0"))
            for node in case.cluster.listed("nodes")
        ),
        default=0.0,
    )
    told = f"an engine keeps {needed / 1e9:.1f} GB on its node, which may give {room / 1e9:.1f} GB"
    hint = "give its profile weights of another type, or nodes with larger disks"
    yield Finding("disk", "fail", told, hint) if needed > room else Finding("disk", "ok", told)


def _kept_on_disk(deployment: Manifest) -> float:
    """Bytes, by the limits of its pod's folders."""
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or ()
    folders = [each["emptyDir"] for each in volumes if each.get("emptyDir")]
    on_disk = [each for each in folders if each.get("medium") != "Memory"]
    return sum(quantity(each.get("sizeLimit", "0")) for each in on_disk)


def store(case: Case) -> Iterator[Finding]:
    found = case.environment.connect()
    try:
        conditional = found.facts["conditionalWrites"]
    except NotAStore as error:
        if case.values["global"]["objectStore"]["mode"] == "external":
            yield from _probed(found, f"waybill store init {case.environment.name}")
        else:
            yield Finding("store", "warn", str(error), "the chart makes it ready itself")
        return
    yield _compares(conditional)


def _probed(found: Store, init: str) -> Iterator[Finding]:
    """A customer's own server, before it holds a store."""
    try:
        yield _compares(found.backend.probe())
    except BadValue as error:
        yield Finding("store", "fail", str(error), "take another server, or a newer version of it")
        return
    yield Finding("store", "warn", f"{found.url} is not a store yet", init)


def _compares(conditional: bool) -> Finding:
    if conditional:
        return Finding("store", "ok", "it answers, and compares before it swaps")
    told = "it has no conditional writes: only one person may promote at a time"
    return Finding("store", "warn", told, "use --single-writer, or another server")


def gpus(case: Case) -> Iterator[Finding]:
    """Enough free GPUs for the engines, and drivers that can run their image's CUDA."""
    engines = [each for each in case.manifests if _gpus(each)]
    if not engines:
        return
    wanted = sum(_gpus(each) * each["spec"].get("replicas", 1) for each in engines)
    nodes = case.cluster.listed("nodes")
    there = sum(int(node["status"].get("allocatable", {}).get(GPU, 0)) for node in nodes)
    told = f"the engines ask for {wanted} GPUs, and the nodes have {there}"
    hint = "add nodes, install the GPU operator, or pin fewer revisions"
    yield Finding("gpu", "fail", told, hint) if wanted > there else Finding("gpu", "ok", told)
    needed = max(map(_cuda_of, engines))
    for node in nodes:
        if (runs := _cuda_on(node)) and runs < needed:
            told = f"{node['metadata']['name']}: its driver runs CUDA {runs[0]}.{runs[1]} at most"
            hint = "update the driver, or take an older image, with its cudaVersion"
            want = f"the engines' image wants {needed[0]}.{needed[1]}: {hint}"
            yield Finding("gpu", "fail", told, want)


def _cuda_of(engine: Manifest) -> tuple[int, int]:
    """The CUDA version of an engine's image as (major, minor); (0, 0) where none is known."""
    text = (engine["metadata"].get("annotations") or {}).get(CUDA, "0.0")
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _cuda_on(node: Object) -> tuple[int, int] | None:
    """What the node's driver runs at most, as NVIDIA's feature discovery says; None without it."""
    labels = node["metadata"].get("labels") or {}
    found = [labels.get(f"nvidia.com/cuda.runtime.{part}", "") for part in ("major", "minor")]
    return (int(found[0]), int(found[1] or 0)) if found[0] else None


def _gpus(manifest: Manifest) -> int:
    if manifest["kind"] != "Deployment":
        return 0
    containers = manifest["spec"]["template"]["spec"]["containers"]
    limits = [each.get("resources", {}).get("limits", {}) for each in containers]
    return sum(int(each.get(GPU, 0)) for each in limits)


def quantity(text: str) -> float:
    """Bytes or cores of a quantity, as `100Gi` or `250m`. The values' schema knows no other form.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    if match is None or match[2] not in _UNITS:
        raise BadValue(what="quantity", value=text, why="write it as 100Gi, 1.5T or 250m")
    return float(match[1]) * _UNITS[match[2]]


def network(case: Case) -> Iterator[Finding]:
    """May hub and hook go anywhere, because nobody named the API server's addresses?"""
    rules = case.values["global"]["network"]
    if rules["policies"] and any(cidr.endswith("/0") for cidr in rules["apiServerCidrs"]):
        told = "global.network.apiServerCidrs lets hub and hook out to any address on 443 and 6443"
        hint = "name the addresses of `kubectl get endpoints kubernetes` there"
        yield Finding("network", "warn", told, hint)


def issuer(case: Case) -> Iterator[Finding]:
    """Does the issuer that the customer brings describe itself?"""
    oidc = case.values["global"]["oidc"]
    if oidc["mode"] != "external":
        return
    url = f"{oidc['issuer'].rstrip('/')}/.well-known/openid-configuration"
    hint = "check global.oidc.issuer, and that it is reached from here and from the cluster"
    try:
        trusted = ssl.create_default_context(cafile=case.environment.ca_bundle)
    except OSError as error:
        told = f"caBundle {case.environment.ca_bundle} cannot be used: {error.strerror or error}"
        yield Finding("issuer", "fail", told, "correct its path in values/environments.yaml")
        return
    try:
        with httpx2.Client(verify=trusted, timeout=10) as client:
            said = client.get(url).raise_for_status().json()["issuer"]
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        yield Finding("issuer", "warn", f"{url} does not answer as an issuer: {error}", hint)
        return
    if said == oidc["issuer"]:
        yield Finding("issuer", "ok", f"{said} answers")
    else:
        told = f"it calls itself {said}, and global.oidc.issuer is {oidc['issuer']}"
        yield Finding("issuer", "fail", told, "write it exactly so: tokens are compared with it")


INSIDE = (clock, rights, kinds, storage, disk, gpus)
AROUND = (network, space, store, issuer)
