"""Bring an environment's release to what its files say, and wait until it serves."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from waybill.deliver import changes, rollout
from waybill.deliver.changes import Change
from waybill.deliver.engine_arguments import engine_argument_findings
from waybill.deliver.helm import Helm
from waybill.deliver.rollout import Object
from waybill.errors import BadEngineArguments, ClusterForbidden, HelmFailed, RolloutFailed

INSTANCE = "app.kubernetes.io/instance"
WORKLOADS = ("deployments", "statefulsets", "jobs")
REFRESHED = "waybill.dev/refreshed"
"""Patched on the gateway's pods: the kubelet then brings a changed ConfigMap within a second."""
_EVERY = 1.0
_GRACE = 30.0
"""Seconds that a pod may look hopeless: Secrets and volumes come a moment after it."""
_LOG_LINES = 20


class Cluster(Protocol):
    """What an installation asks of a cluster, in one namespace."""

    def listed(self, kind: str, selector: str = "") -> list[Object]: ...
    def events(self, name: str) -> list[Object]: ...
    def log(self, pod: str, container: str, lines: int) -> str: ...
    def annotate(self, pod: str, key: str, value: str) -> None: ...


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
    """Raises HelmMissing, HelmFailed, BadEngineArguments."""
    new = render(helm)
    return Plan(helm, helm.revision(), changes.changes(helm.installed(), new), budget(new))


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

    Raises HelmFailed, RolloutFailed; the reasons of pods that fail are noted before.
    """
    selector = f"{INSTANCE}={plan.helm.release}"
    limit = seconds or plan.seconds
    try:
        plan.helm.upgrade(limit)
    except HelmFailed:
        explain(cluster, selector, note)
        raise
    refresh(cluster, selector, plan)
    why = wait(cluster, selector, note, limit)
    if why:
        explain(cluster, selector, note)
        raise RolloutFailed(release=plan.helm.release, namespace=plan.helm.namespace, why=why)


def budget(manifests: Iterable[Object]) -> int:
    """Seconds that the slowest Deployment may take to progress, and a minute for the rest."""
    deadlines = [
        each["spec"].get("progressDeadlineSeconds", 600)
        for each in manifests
        if each["kind"] == "Deployment"
    ]
    return 60 + max(deadlines, default=600)


def refresh(cluster: Cluster, selector: str, plan: Plan) -> None:
    """Have the gateway's pods see their routes at once."""
    for pod in cluster.listed("pods", f"{selector},app.kubernetes.io/component=gateway"):
        name = pod["metadata"]["name"]
        cluster.annotate(name, REFRESHED, str(plan.revision + 1))


def wait(cluster: Cluster, selector: str, note: Callable[[str], None], seconds: float) -> str:
    """Wait until all workloads are ready; the reason when they are not and will not be."""
    deadline = time.monotonic() + seconds
    hopeless_since, told = None, ""
    while True:
        workloads = [each for kind in WORKLOADS for each in cluster.listed(kind, selector)]
        missing = rollout.unready(workloads)
        if not missing:
            return ""
        if (line := "; ".join(missing)) != told:
            note(f"waiting: {line}")
            told = line
        why = rollout.hopeless(workloads, cluster.listed("pods", selector))
        hopeless_since = (hopeless_since or time.monotonic()) if why else None
        if hopeless_since and time.monotonic() - hopeless_since > _GRACE:
            return why
        if time.monotonic() > deadline:
            return f"{line} after {seconds:.0f} s"
        time.sleep(_EVERY)


def explain(cluster: Cluster, selector: str, note: Callable[[str], None]) -> None:
    """Note what goes on in each pod that is not ready, without any secret."""
    hidden = secrets(cluster)
    for pod in rollout.not_ready(cluster.listed("pods", selector)):
        name = pod["metadata"]["name"]
        log = _tail_of(cluster, name)
        for line in rollout.told(pod, cluster.events(name), log, hidden):
            note(line)


def _tail_of(cluster: Cluster, pod: str) -> Callable[[str], str]:
    return lambda container: cluster.log(pod, container, _LOG_LINES)


def secrets(cluster: Cluster) -> set[str]:
    """The values of the namespace's Secrets that are long enough to be one."""
    try:
        found = cluster.listed("secrets")
    except ClusterForbidden:
        return set()  # what looks like a credential is hidden all the same
    values = set()
    for secret in found:
        for value in (secret.get("data") or {}).values():
            try:
                values.add(base64.b64decode(value).decode())
            except (binascii.Error, UnicodeDecodeError):
                continue
    return {value for value in values if len(value) >= 8}
