"""Drift: whether pins, store, release and cluster still say the same. Looking changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from waybill.deliver import demands, differences, install, pins
from waybill.deliver.differences import NOTHING, Difference
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm
from waybill.deliver.pins import Pin, Revision
from waybill.deliver.rollout import Object
from waybill.deliver.secrets import Plan
from waybill.errors import BlobMissing, ClusterForbidden, Corrupt, WaybillError
from waybill.release import move
from waybill.store.layout import Ref, RepoId
from waybill.store.publish import complete
from waybill.store.store import Store

KINDS = {
    "ConfigMap": "configmaps",
    "CronJob": "cronjobs",
    "Deployment": "deployments",
    "Ingress": "ingresses",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Service": "services",
    "StatefulSet": "statefulsets",
}
"""Kinds that decide what runs, and who may talk to whom, by how a cluster lists them."""
RUNNING = {"Deployment", "NetworkPolicy", "StatefulSet"}
"""Those of which the chart's CronJob knows all."""
STORED = "pins and store"


_BRING_BACK = "bring it back: waybill sideload or promote; engines that run go on"


class Cluster(Protocol):
    """What looking for drift asks of a cluster, in one namespace."""

    def listed(self, kind: str, selector: str = "") -> list[Object]: ...
    def secret_keys(self, name: str) -> frozenset[str] | None: ...


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; `between` names the two that disagree."""

    between: str
    object: str
    field: str
    expected: str
    found: str
    by: str = ""
    advice: str = ""


@dataclass
class Drift:
    """All findings, and what could not be looked at, with the reason."""

    findings: list[Finding] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def look(environment: Environment, helm: Helm, cluster: Cluster) -> Drift:
    """At everything that an environment consists of.

    Raises what keeps it from being looked at, where nothing was found before: BadFile, HelmMissing,
    HelmFailed, BadEngineArguments, ReleasePending, ClusterUnreachable.
    """
    drift = Drift()
    held = pins.load(environment.pins_path).models
    try:
        drift.findings += in_store(environment, environment.connect(), held)
    except WaybillError as error:
        drift.unread.append(f"the store: {error}")
    try:
        _live(drift, helm, cluster)
    except WaybillError as error:
        if not drift.findings:
            raise
        drift.unread.append(f"the release: {error}")
    return drift


def _live(drift: Drift, helm: Helm, cluster: Cluster) -> None:
    expected, applied = install.render(helm), helm.installed().manifests
    in_cluster(drift, expected, cluster, helm.release, applied)
    try:
        drift.findings += list(_secrets(expected, cluster))
    except ClusterForbidden as error:
        drift.unread.append(f"Secrets: {error}")


def in_store(environment: Environment, store: Store, held: Mapping[str, Pin]) -> Iterator[Finding]:
    """Where pins file and store disagree: refs, revisions, and models that only one knows."""
    for model, pin in sorted(held.items()):
        repo, ref = RepoId.parse(pin.stable.repo), Ref.pin(environment.name, model)
        head = store.head(repo, ref)
        if (stands := head.commit if head else None) != pin.stable.commit:
            said = move.differ(environment, model, str(repo), pin.stable.commit, stands)
            where = f"{repo} {ref}"
            found = stands or NOTHING
            yield Finding(STORED, where, "", pin.stable.commit, found, advice=said.advice)
        for commit, revision in sorted(pin.revisions.items()):
            if found := _lost(store, repo, commit, revision.digest):
                yield gone(revision, found, _BRING_BACK)
    for _, (repo, ref) in store.ref_keys():
        named = ref.pinned_in(environment.name)
        if named and named not in held and (head := store.head(repo, ref)):
            advice = f"take the newest {environment.pins_path.name}, or pin the model again"
            yield Finding(STORED, f"{repo} {ref}", "", NOTHING, head.commit, advice=advice)


def gone(pinned: Revision, found: str, advice: str) -> Finding:
    """That a pinned revision is not there."""
    where = f"{pinned.repo}@{pinned.commit}"
    return Finding(STORED, where, "", pinned.digest, found, advice=advice)


def _lost(store: Store, repo: RepoId, commit: str, wanted: str) -> str:
    """What a store has in the place of a revision, or what it lacks of it; nothing where all of it
    is there."""
    blob = store.revision(repo, commit)
    if (digest := blob.digest if blob else NOTHING) != wanted:
        return digest
    try:
        complete(store, repo, commit)
    except (BlobMissing, Corrupt) as error:
        return str(error)
    return ""


def in_cluster(
    drift: Drift,
    expected: Sequence[Object],
    cluster: Cluster,
    release: str,
    applied: Sequence[Object] | None = None,
) -> None:
    """Where rendered objects and those of the cluster disagree.

    `applied` are the objects as they were installed last: they tell what was never installed from
    what was changed since. Without them, `expected` need not be all. Raises ClusterUnreachable.
    """
    live: list[Object] = []
    kinds: set[str] = set()
    told = KINDS.keys() if applied is not None else {each["kind"] for each in expected}
    for kind in sorted(KINDS.keys() & told):
        plural = KINDS[kind]
        try:
            live += cluster.listed(plural, f"{install.INSTANCE}={release}")
            kinds.add(kind)
            if kind == "NetworkPolicy":
                drift.findings += _opened(expected, cluster, release)
        except ClusterForbidden as error:
            drift.unread.append(f"{plural}: {error}")
    if applied is None:
        found = differences.differences(expected, live, kinds, RUNNING)
        drift.findings += [_by_hand(each) for each in found]
        return
    found = differences.differences(expected, live, kinds, kinds)
    since = {
        (each.object, each.field) for each in differences.differences(applied, live, kinds, kinds)
    }
    for each in found:
        changed = (each.object, each.field) in since
        drift.findings.append(_by_hand(each) if changed else _not_installed(each))


def _opened(expected: Sequence[Object], cluster: Cluster, release: str) -> Iterator[Finding]:
    """Rules of the namespace that nobody has rendered; in releases without rules, none counts."""
    if any(each["kind"] == "NetworkPolicy" for each in expected):
        held = cluster.listed(KINDS["NetworkPolicy"])
        advice = "delete it; what clients need is in the values, under global.network"
        for each in differences.opened(expected, held, (install.INSTANCE, release)):
            yield _finding("release and cluster", each, advice)


def _by_hand(found: Difference) -> Finding:
    advice = "waybill install puts it back; to keep it, write it into the values"
    return _finding("release and cluster", found, advice)


def _not_installed(found: Difference) -> Finding:
    return _finding("files and release", found, "waybill install brings it")


def _finding(between: str, found: Difference, advice: str) -> Finding:
    return Finding(
        between, found.object, found.field, found.expected, found.found, found.by, advice
    )


def _secrets(expected: Sequence[Object], cluster: Cluster) -> Iterator[Finding]:
    """Secrets that pods need and that are not there, or lack a key; never what they hold."""
    wanted = {name: frozenset(keys) for name, keys in Plan.among(expected).secrets.items()}
    given = (need.name for need in demands.given(expected) if need.kind == "Secret")
    for name, keys in sorted({**dict.fromkeys(given, frozenset[str]()), **wanted}.items()):
        held = cluster.secret_keys(name)
        where, advice = f"Secret {name}", "waybill secrets makes those that the chart names"
        if held is None:
            yield Finding("release and cluster", where, "", "this object", NOTHING, "", advice)
        elif lacking := keys - held:
            found = ", ".join(sorted(lacking))
            yield Finding("release and cluster", where, "data", found, NOTHING, "", advice)
