"""What could make an installation fail, looked at before it: each check gives findings.

Nothing stays changed anywhere: what the probe of an object store writes, it removes. A check that
cannot be made is a warning that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx2

from waybill.deliver import cluster as clusters
from waybill.deliver import demands, install, pins
from waybill.deliver import helm as helms
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm, Manifest
from waybill.deliver.rollout import Object
from waybill.errors import (
    BadFile,
    BadValue,
    ClusterForbidden,
    ClusterUnreachable,
    NotAStore,
    WaybillError,
)
from waybill.store.connect import trusting
from waybill.store.store import Store

OLDEST = (1, 27)
"""Kubernetes, as Chart.yaml's kubeVersion says."""
SKEW = timedelta(seconds=60)
"""The leeway that token checks give."""
WATCHING = (("patch", "pods"), ("get", "pods/log"), ("list", "events"))
"""What `waybill install` does without, less well: it then refreshes and explains less."""
_LISTS = {
    "ConfigMap": "configmaps",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PriorityClass": "priorityclasses",
    "Secret": "secrets",
}


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
    except (BadFile, ClusterUnreachable) as error:
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
    asked = {demands.resource(each) for each in case.manifests} | {("", "secrets")}
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
        for claim in demands.claims(manifest)
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
    full = needed * 1.1 > demands.quantity(size)
    yield Finding("space", "fail", told, hint) if full else Finding("space", "ok", told)


def disk(case: Case) -> Iterator[Finding]:
    """Is there a node whose own disk can hold the weights that the largest engine keeps there?"""
    kept = [demands.kept_on_disk(each) for each in case.manifests if each["kind"] == "Deployment"]
    if not (needed := max(kept, default=0.0)):
        return
    room = max(
        (
            demands.quantity(node["status"].get("allocatable", {}).get("ephemeral-storage", "0"))
            for node in case.cluster.listed("nodes")
        ),
        default=0.0,
    )
    told = f"an engine keeps {needed / 1e9:.1f} GB on its node, which may give {room / 1e9:.1f} GB"
    hint = "give its profile weights of another type, or nodes with larger disks"
    yield Finding("disk", "fail", told, hint) if needed > room else Finding("disk", "ok", told)


def given(case: Case) -> Iterator[Finding]:
    """Is there what pods need and others have to make?"""
    wanted = demands.given(case.manifests)
    for kind in sorted({each.kind for each in wanted}):
        names = {each.name for each in wanted if each.kind == kind}
        try:
            there = {each["metadata"]["name"] for each in case.cluster.listed(_LISTS[kind])}
        except ClusterForbidden as error:
            yield Finding("given", "warn", str(error), f"look for them: {', '.join(sorted(names))}")
            continue
        told = f"{kind} {', '.join(sorted(names - there or names))}"
        if names <= there:
            yield Finding("given", "ok", f"{told}: there")
        else:
            hint = "make it first, as pods that name it do not start"
            if kind == "Secret":
                hint += f"; the chart's own: waybill secrets {case.environment.name}"
            yield Finding("given", "fail", f"{told}: not there, and nothing would make it", hint)


def same_store(case: Case) -> Iterator[Finding]:
    """Do `waybill sideload` and the hub mean one place?"""
    chart = case.values["global"]["objectStore"]
    served = f"s3://{chart['bucket']}/{chart['prefix'].strip('/')}".rstrip("/")
    if served != case.environment.store.rstrip("/"):
        told = f"environments.yaml has the store {case.environment.store}, the chart {served}"
        hint = "write one of them like the other: global.objectStore.bucket and prefix, or `store`"
        yield Finding("store", "fail", told, hint)


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
    """Enough GPUs for the engines, and drivers that can run their image's CUDA."""
    engines = [each for each in case.manifests if demands.gpus(each)]
    if not engines:
        yield Finding("gpu", "ok", "nothing that is pinned asks for a GPU")
        return
    wanted = sum(demands.gpus(each) * each["spec"].get("replicas", 1) for each in engines)
    nodes = case.cluster.listed("nodes")
    there = sum(int(node["status"].get("allocatable", {}).get(demands.GPU, 0)) for node in nodes)
    told = f"the engines ask for {wanted} GPUs, and the nodes have {there}"
    hint = "add nodes, install the GPU operator, or pin fewer revisions"
    yield Finding("gpu", "fail", told, hint) if wanted > there else Finding("gpu", "ok", told)
    needed = max(map(demands.cuda_of, engines))
    for node in nodes:
        if (runs := _cuda_on(node)) and runs < needed:
            told = f"{node['metadata']['name']}: its driver runs CUDA {runs[0]}.{runs[1]} at most"
            hint = "update the driver, or take an older image, with its cudaVersion"
            want = f"the engines' image wants {needed[0]}.{needed[1]}: {hint}"
            yield Finding("gpu", "fail", told, want)


def _cuda_on(node: Object) -> tuple[int, int] | None:
    """What the node's driver runs at most, as NVIDIA's feature discovery says; None without it."""
    labels = node["metadata"].get("labels") or {}
    for prefix in demands.CUDA_LABELS:
        if major := labels.get(f"{prefix}.major"):
            return int(major), int(labels.get(f"{prefix}.minor") or 0)
    return None


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
    trusted = trusting(case.environment.ca_bundle)
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


INSIDE = (clock, rights, kinds, given, storage, disk, gpus)
AROUND = (network, space, same_store, store, issuer)
