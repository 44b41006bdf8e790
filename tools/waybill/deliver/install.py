"""Bring an environment's release to what its files say, and wait until it serves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from waybill.deliver import changes, watch
from waybill.deliver.changes import Change
from waybill.deliver.engine_arguments import engine_argument_findings
from waybill.deliver.helm import Helm
from waybill.deliver.redaction import redacted
from waybill.deliver.rollout import Object
from waybill.deliver.watch import Watch
from waybill.errors import (
    BadEngineArguments,
    BadFile,
    ClusterForbidden,
    ClusterUnreachable,
    HelmFailed,
    RolloutFailed,
)

INSTANCE = "app.kubernetes.io/instance"
LASTING = "app.kubernetes.io/name notin (drift,import)"
"""The Jobs of both have the release's labels for the network's sake; they come and go beside it,
and one that failed is no fault of it."""
REFRESHED = "waybill.dev/refreshed"
"""Patched on the gateway's pods: the kubelet then brings a changed ConfigMap within a second."""
_HOOKS = 300
"""Seconds that the hooks of an upgrade may take that changes no pod."""


class Cluster(watch.Cluster, Protocol):
    """What an installation asks of a cluster, in one namespace."""

    def annotate(self, pod: str, key: str, value: str) -> None: ...
    def lacks_namespace(self) -> bool: ...


@dataclass(frozen=True)
class Plan:
    """What `install` would do: `revision` is the release's newest, 0 before the first.

    `seconds` is the longest that its pods may take.
    """

    helm: Helm
    revision: int
    changes: Sequence[Change]
    seconds: int


def plan(helm: Helm) -> Plan:
    """Raises HelmMissing, HelmFailed, ReleasePending, BadEngineArguments.

    BadFile when there is no pins file, and engines run that only pins can have brought.
    """
    new, installed = render(helm), helm.installed()
    lost = _engines(installed.manifests) - _engines(new)
    if helm.unpinned and lost:
        why = f"there is no such file, and without its pins {', '.join(sorted(lost))} would end"
        raise BadFile(path=helm.unpinned, why=why)
    found = changes.changes(installed.manifests, new)
    return Plan(helm, installed.revision, found, budget(new))


def _engines(manifests: Iterable[Object]) -> set[str]:
    """The names of the engines among a release's objects."""
    return {
        each["metadata"]["name"]
        for each in manifests
        if each["kind"] == "Deployment"
        and (each["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == "vllm"
    }


def render(helm: Helm) -> list[Object]:
    """The chart's objects, from engine arguments that the engines can take, too.

    Raises HelmMissing, HelmFailed, BadEngineArguments.
    """
    manifests = helm.template()
    if findings := engine_argument_findings(helm.values()):
        raise BadEngineArguments(findings="; ".join(findings))
    return manifests


def carry_out(
    plan: Plan, cluster: Cluster, note: Callable[[str], None], seconds: int | None = None
) -> None:
    """Apply the release and wait for it; `seconds` None takes the longest budget of its pods.

    Raises HelmFailed, RolloutFailed; the reasons of pods that fail are noted before, and neither
    shows a secret. A hook that cannot start ends Helm, which would wait for it to the last.
    """
    selector = f"{INSTANCE}={plan.helm.release},{LASTING}"
    limit = seconds or plan.seconds
    watched = Watch(cluster, selector, note)

    def stop_if(why: str) -> None:
        if why:
            raise RolloutFailed(release=plan.helm.release, namespace=plan.helm.namespace, why=why)

    try:
        plan.helm.upgrade(
            limit,
            create_namespace=cluster.lacks_namespace(),
            meanwhile=lambda: stop_if(watched.glance()),
        )
        refresh(cluster, plan.helm.release, plan.revision + 1, note)
        stop_if(watched.wait(limit))
    except (HelmFailed, RolloutFailed) as error:
        hidden = watch.secrets(cluster)
        watch.explain(cluster, selector, lambda line: note(redacted(line, hidden)))
        why = redacted(str(error.facts["why"]), hidden)
        raise type(error)(**{**error.facts, "why": why}) from None


def budget(manifests: Iterable[Object]) -> int:
    """Seconds that the slowest Deployment may take, and a minute for the rest.

    Its deadline is that of one step; where its pods are not replaced all together, it has as many
    steps as `maxSurge` and `maxUnavailable` leave.
    """
    specs = [each["spec"] for each in manifests if each["kind"] == "Deployment"]
    slowest = [_steps(spec) * spec.get("progressDeadlineSeconds", 600) for spec in specs]
    return 60 + max(slowest, default=600)


def _steps(spec: Object) -> int:
    """Shares in percent, which our chart never has, count as one pod."""
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    together = sum(each for each in rolling.values() if isinstance(each, int)) or 1
    replicas: int = spec.get("replicas", 1)
    return max(1, math.ceil(replicas / together))


def reroute(helm: Helm, cluster: Cluster, note: Callable[[str], None]) -> None:
    """Bring changed weights to the gateways. No pod changes by that, so none is waited for.

    Nor is the hook that makes Secrets run: they are there, and a node that two revisions fill has
    no room for its pod, while traffic has to leave the bad one.

    Raises HelmFailed, ClusterUnreachable.
    """
    helm.upgrade(_HOOKS, create_namespace=False, meanwhile=lambda: None, hooks=False)
    refresh(cluster, helm.release, helm.installed().revision, note)


def refresh(cluster: Cluster, release: str, revision: int, note: Callable[[str], None]) -> None:
    """Have the gateway's pods see their routes at once; without it they do within a minute."""
    gateways = f"{INSTANCE}={release},app.kubernetes.io/component=gateway"
    try:
        for pod in cluster.listed("pods", gateways):
            cluster.annotate(pod["metadata"]["name"], REFRESHED, str(revision))
    except (ClusterForbidden, ClusterUnreachable) as error:
        note(f"changed routes reach the gateway within a minute, not at once: {error}")
