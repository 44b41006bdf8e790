"""Watch what a release runs until it is ready, and tell what goes on where it will not be."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from waybill.deliver import redaction, rollout
from waybill.deliver.rollout import Object
from waybill.errors import ClusterUnreachable, WaybillError

WORKLOADS = ("deployments", "statefulsets", "jobs")
_EVERY = 1.0
GRACE = 30.0
"""Seconds that something may look hopeless: Secrets, volumes and quota come a moment after it."""
_SILENCE = 60.0
_LOG_LINES = 20
_NO_SECRET = re.compile(r"(?i)(user|username|id)$")
"""Keys of Secrets whose value is a name: to hide it would hide the names of pods, too."""

Answer = TypeVar("Answer")
Seen = tuple[list[Object], list[Object]]
"""Workloads and pods."""


class Cluster(Protocol):
    """What watching asks of a cluster, in one namespace."""

    def listed(self, kind: str, selector: str = "") -> list[Object]: ...
    def events(self, name: str) -> list[Object]: ...
    def log(self, pod: str, container: str, lines: int) -> str: ...


class Patient:
    """Asks an API server that may be silent for a minute: it restarts, or its balancer moves."""

    def __init__(self) -> None:
        self._silent_since: float | None = None

    def __call__(self, ask: Callable[[], Answer]) -> Answer | None:
        """None while it is silent. Raises ClusterUnreachable after that minute."""
        try:
            found = ask()
        except ClusterUnreachable:
            self._silent_since = self._silent_since or time.monotonic()
            if time.monotonic() - self._silent_since > _SILENCE:
                raise
            return None
        self._silent_since = None
        return found


class Watch:
    """A release's workloads and pods, from just before it is applied.

    What is there already may be what the upgrade is to replace, so it is judged more slowly.
    """

    def __init__(self, cluster: Cluster, selector: str, note: Callable[[str], None]) -> None:
        self._cluster, self._selector, self._note = cluster, selector, note
        self._before = {each["metadata"]["uid"] for kind in self._seen() for each in kind}
        self._since: dict[str, float] = {}
        self._patient = Patient()
        self._told = ""

    def glance(self) -> str:
        """While Helm is at work: why something new will not get ready; empty while there is hope.

        That the cluster does not answer is for Helm to say.
        """
        with suppress(WaybillError):
            workloads, pods = self._seen()
            return self._lost(self._new(workloads), self._new(pods))
        return ""

    def wait(self, seconds: float) -> str:
        """Wait until all workloads are ready; the reason when they are not and will not be.

        Helm has waited for its hooks: what is left of them is no part of the release.
        Raises ClusterUnreachable when the API server is silent for a minute, ClusterForbidden.
        """
        deadline = time.monotonic() + seconds
        while True:
            if seen := self._answered():
                missing = rollout.unready(seen[0])
                if not missing:
                    return ""
                if why := self._lost(*seen):
                    return why
                self._tell(missing, rollout.unplaced(seen[1]))
            if time.monotonic() > deadline:
                return f"{self._told} after {seconds:.0f} s"
            time.sleep(_EVERY)

    def _seen(self) -> Seen:
        return seen(self._cluster, self._selector)

    def _answered(self) -> Seen | None:
        found = self._patient(self._seen)
        return rollout.without_hooks(*found) if found else None

    def _new(self, objects: list[Object]) -> list[Object]:
        return [each for each in objects if each["metadata"]["uid"] not in self._before]

    def _lost(self, workloads: list[Object], pods: list[Object]) -> str:
        now = time.monotonic()
        troubles = list(rollout.troubles(workloads, pods))
        self._since = {each.uid: self._since.get(each.uid, now) for each in troubles}
        for each in troubles:
            at_once = each.final and each.uid not in self._before
            if at_once or now - self._since[each.uid] > GRACE:
                return each.why
        return ""

    def _tell(self, missing: list[str], unplaced: list[str]) -> None:
        line = "; ".join(missing) + (f" ({'; '.join(unplaced)})" if unplaced else "")
        if line != self._told:
            self._note(f"waiting: {line}")
            self._told = line


def seen(cluster: Cluster, selector: str) -> Seen:
    """All of the release, what its hooks made too."""
    workloads = [each for kind in WORKLOADS for each in cluster.listed(kind, selector)]
    return workloads, cluster.listed("pods", selector)


def explain(cluster: Cluster, selector: str, note: Callable[[str], None]) -> None:
    """Note what goes on in each workload and pod that is not ready.

    Raises nothing: what cannot be read must not hide the failure that it would explain.
    """
    try:
        workloads, pods = seen(cluster, selector)
    except WaybillError as error:
        note(f"what runs cannot be looked at: {error}")
        return
    lines = []
    for each in workloads:
        if lacks := rollout.lacks(each):
            lines += [lacks, *rollout.last(_events(cluster, each))]
    for pod in rollout.not_ready(pods):
        lines += rollout.told(pod, _events(cluster, pod), _tail(cluster, pod["metadata"]["name"]))
    for line in lines:
        note(line)


def _events(cluster: Cluster, thing: Object) -> list[Object]:
    try:
        return cluster.events(thing["metadata"]["name"])
    except WaybillError as error:
        return [{"reason": "unknown", "message": str(error)}]


def _tail(cluster: Cluster, pod: str) -> Callable[[str], str]:
    def tail(container: str) -> str:
        try:
            return cluster.log(pod, container, _LOG_LINES)
        except WaybillError as error:
            return f"no log: {error}"

    return tail


def secrets(cluster: Cluster) -> set[str]:
    """The lines of the namespace's Secrets that are long enough to be one."""
    try:
        found = cluster.listed("secrets")
    except WaybillError:
        return set()  # what looks like a credential is hidden all the same
    lines: set[str] = set()
    for secret in found:
        for key, value in (secret.get("data") or {}).items():
            if not _NO_SECRET.search(key):
                with suppress(binascii.Error, UnicodeDecodeError):
                    lines |= redaction.lines_to_hide(base64.b64decode(value).decode())
    return lines
