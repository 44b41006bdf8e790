"""Is what a release runs ready, and if not, why: pure answers about objects as the API gives them.

Objects are the API's JSON as dicts. https://kubernetes.io/docs/concepts/workloads/controllers/
says what the fields of a status mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

_HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImagePull",
    "ImagePullBackOff",
}
_FINAL = {"ErrImageNeverPull", "InvalidImageName"}
_RESTARTS = 3
"""A container that waits for another's server may end a few times; this often is no accident."""


@dataclass(frozen=True)
class Trouble:
    """Why the object with this uid cannot get ready; `final`: waiting longer mends it never."""

    uid: str
    why: str
    final: bool = False


def without_hooks(
    workloads: Sequence[Object], pods: Sequence[Object]
) -> tuple[list[Object], list[Object]]:
    """What stays: a hook that was interrupted is left behind, and so is a test that failed."""
    jobs = [each for each in workloads if _is_hook(each)]
    hooks = {each["metadata"]["uid"] for each in jobs}
    return [each for each in workloads if each not in jobs], [
        pod
        for pod in pods
        if not _is_hook(pod)
        and hooks.isdisjoint(each["uid"] for each in pod["metadata"].get("ownerReferences") or ())
    ]


def _is_hook(thing: Object) -> bool:
    return "helm.sh/hook" in (thing["metadata"].get("annotations") or {})


def unready(workloads: Iterable[Object]) -> list[str]:
    """A line for each Deployment, StatefulSet or Job that has not got where it is going."""
    return [line for each in workloads if (line := lacks(each))]


def lacks(workload: Object) -> str:
    """What a workload is short of; empty when it has got where it is going."""
    name = f"{workload['kind']} {workload['metadata']['name']}"
    status = workload.get("status", {})
    if workload["kind"] == "Job":
        done = condition(workload, "Complete")
        return "" if done else f"{name} has not finished"
    wanted = workload["spec"].get("replicas", 1)
    ready = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    seen = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
    if seen and ready >= wanted and status.get("replicas", 0) == wanted:
        return ""
    return f"{name} has {ready} of {wanted} pods ready"


def condition(thing: Object, kind: str) -> Object | None:
    """The condition of this type when it is true."""
    for each in thing.get("status", {}).get("conditions") or ():
        if each["type"] == kind and each["status"] == "True":
            found: Object = each
            return found
    return None


def troubles(workloads: Iterable[Object], pods: Iterable[Object]) -> Iterator[Trouble]:
    """Why waiting longer is no use; nothing while there is hope."""
    for each in workloads:
        name, uid = f"{each['kind']} {each['metadata']['name']}", each["metadata"]["uid"]
        if each["kind"] == "Job" and (failed := condition(each, "Failed")):
            yield Trouble(uid, f"{name} failed: {failed.get('message', '')}")
        if refused := condition(each, "ReplicaFailure"):
            yield Trouble(uid, f"{name} gets no pods: {refused.get('message', '')}")
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"]:
            yield from _stuck(pod)


def _stuck(pod: Object) -> Iterator[Trouble]:
    for container, waiting, restarts in _waiting(pod):
        reason = waiting["reason"]
        hopeless = reason in _HOPELESS and (reason != "CrashLoopBackOff" or restarts >= _RESTARTS)
        if hopeless or reason in _FINAL:
            said = f"{pod['metadata']['name']}/{container}: {reason}: {waiting.get('message', '')}"
            yield Trouble(pod["metadata"]["uid"], said, reason in _FINAL)


def unplaced(pods: Iterable[Object]) -> list[str]:
    """A line for each pod that fits no node as yet, in the scheduler's words."""
    return [
        f"{pod['metadata']['name']}: {each.get('message', '')}"
        for pod in pods
        for each in pod.get("status", {}).get("conditions") or ()
        if each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable"
    ]


def _waiting(pod: Object) -> Iterator[tuple[str, Object, int]]:
    """Name, state and restarts of each container that waits for something with a name."""
    for status in _containers(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        if waiting.get("reason"):
            yield status["name"], waiting, status.get("restartCount", 0)


def _containers(pod: Object) -> Iterator[Object]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def not_ready(pods: Iterable[Object]) -> list[Object]:
    """The pods that do not serve and have not done their work."""
    return [
        pod
        for pod in pods
        if pod.get("status", {}).get("phase") != "Succeeded" and not condition(pod, "Ready")
    ]


def told(pod: Object, events: Sequence[Object], log: Callable[[str], str]) -> list[str]:
    """What went on in a pod: containers, last events, and last lines of those that do not run.

    `log` gives a container's last lines.
    """
    lines = [f"pod {pod['metadata']['name']}: {pod.get('status', {}).get('phase', 'unknown')}"]
    lines += last(events)
    for status in _containers(pod):
        if not status.get("ready") and not _ended_well(status):
            lines.append(f"  container {status['name']}: {_state(status)}")
            lines += [f"    {line}" for line in log(status["name"]).splitlines()]
    return lines


def last(events: Sequence[Object]) -> list[str]:
    """A line for each of the last events."""
    return [f"  event {each['reason']}: {each.get('message', '')}" for each in events[-5:]]


def _ended_well(status: Object) -> bool:
    ended = status.get("state", {}).get("terminated") or {}
    return bool(ended.get("exitCode", 1) == 0)


def _state(status: Object) -> str:
    states: Mapping[str, dict[str, Any]] = status.get("state", {})
    name, state = next(iter(states.items()), ("unknown", dict[str, Any]()))
    facts = [str(state[key]) for key in ("reason", "exitCode", "message") if key in state]
    restarts = status.get("restartCount", 0)
    return ", ".join([name, *facts, *([f"{restarts} restarts"] if restarts else [])])
