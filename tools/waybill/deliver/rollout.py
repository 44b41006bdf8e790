"""Is what a release runs ready, and if not, why: pure answers about objects as the API gives them.

Objects are the API's JSON as dicts. https://kubernetes.io/docs/concepts/workloads/controllers/
says what the fields of a status mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]

_HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
}
_RESTARTS = 3
"""A container that waits for another's server may end a few times; this often is no accident."""
_TOKENS = re.compile(
    r"(?i)(bearer\s+|\b(?:authorization|password|secret|token|access_key)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s\"',;]+"
)


def unready(workloads: Iterable[Object]) -> list[str]:
    """A line for each Deployment, StatefulSet or Job that has not got where it is going."""
    return [line for each in workloads if (line := _lacks(each))]


def _lacks(workload: Object) -> str:
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


def hopeless(workloads: Iterable[Object], pods: Iterable[Object]) -> str:
    """Why waiting longer is no use; empty while there is hope."""
    for each in workloads:
        if each["kind"] == "Job" and (failed := condition(each, "Failed")):
            return f"Job {each['metadata']['name']} failed: {failed.get('message', '')}"
    for pod in pods:
        for container, waiting, restarts in _waiting(pod):
            stuck = waiting["reason"] != "CrashLoopBackOff" or restarts >= _RESTARTS
            if waiting["reason"] in _HOPELESS and stuck:
                said = waiting.get("message", "")
                return f"{pod['metadata']['name']}/{container}: {waiting['reason']}: {said}"
    return ""


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


def told(
    pod: Object,
    events: Sequence[Object],
    log: Callable[[str], str],
    secrets: Iterable[str] = (),
) -> list[str]:
    """What went on in a pod: containers, last events, and last lines of those that do not run.

    `log` gives a container's last lines; what `secrets` lists is hidden wherever it stands.
    """
    lines = [f"pod {pod['metadata']['name']}: {pod.get('status', {}).get('phase', 'unknown')}"]
    lines += [f"  event {each['reason']}: {each.get('message', '')}" for each in events[-5:]]
    for status in _containers(pod):
        if not status.get("ready") and not _ended_well(status):
            lines.append(f"  container {status['name']}: {_state(status)}")
            lines += [f"    {line}" for line in log(status["name"]).splitlines()]
    return [redacted(line, secrets) for line in lines]


def _ended_well(status: Object) -> bool:
    ended = status.get("state", {}).get("terminated") or {}
    return bool(ended.get("exitCode", 1) == 0)


def _state(status: Object) -> str:
    states: Mapping[str, dict[str, Any]] = status.get("state", {})
    name, state = next(iter(states.items()), ("unknown", dict[str, Any]()))
    facts = [str(state[key]) for key in ("reason", "exitCode", "message") if key in state]
    restarts = status.get("restartCount", 0)
    return ", ".join([name, *facts, *([f"{restarts} restarts"] if restarts else [])])


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given values, and without what looks like a credential."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "(hidden)")
    return _TOKENS.sub(r"\1(hidden)", text)
