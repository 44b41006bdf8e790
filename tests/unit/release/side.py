"""A cluster of our own making with two revisions of a model, behind our own interface."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.clock import Time
from tests.unit.release.world import REPO, World
from waybill.deliver.live import DIGEST, GATEWAY, HUB
from waybill.deliver.rollout import Object
from waybill.errors import PodSilent

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
LABEL = "app.kubernetes.io/component="


@dataclass
class Side:
    """Two revisions behind one gateway, which asks the new one by its weight in the pins.

    `failing` says of a time which share of its answers fail, `silent` which pods say nothing.
    `hub` is what it gives, where that is not what is pinned.
    """

    world: World
    time: Time
    commits: list[str]
    failing: Callable[[float], float] = lambda _: 0.0
    silent: Callable[[float], set[str]] = lambda _: set()
    annotated: dict[str, str] = field(default_factory=dict)
    there: int = 2
    wanted: dict[str, int] = field(default_factory=dict)
    available: Callable[[str, float], int] = lambda _commit, _now: 1
    models: str = ""
    hub: list[str] = field(default_factory=list)
    asked: int = 1
    healthy: Callable[[float], int] = lambda _: 1
    ready: Callable[[float], bool] = lambda _: True
    seen: dict[str, float] = field(default_factory=lambda: {"requests": 0.0, "errors": 0.0})
    at: float = 0.0

    def listed(self, kind: str, selector: str = "") -> list[Object]:
        component = selector.partition(LABEL)[2]
        if not component:
            return []
        name = {"metadata": {"name": f"w-{component}"}}
        if kind == "deployments":
            wanted = self.wanted.get(component[-8:], 1)
            counts = dict.fromkeys(("replicas", "updatedReplicas"), 1)
            counts["availableReplicas"] = self.available(component[-8:], self.time.now)
            made = {"kind": "Deployment", **name, "spec": {"replicas": wanted}, "status": counts}
            running = [f"vllm-chat-{commit[:8]}" for commit in self.commits[-self.there :]]
            return [made] if component in running else []
        notes = {"annotations": {DIGEST: self.annotated.get(component, self.digest)}}
        ready = READY if component != "gateway" or self.ready(self.time.now) else {}
        return [{"metadata": {**name["metadata"], **notes}, "status": ready}]

    @property
    def digest(self) -> str:
        return self.world.pins("dev").models["chat"].stable.digest

    def fetched(self, pod: str, port: int, path: str) -> str:
        if pod in self.silent(self.time.now):
            raise PodSilent(pod=pod, path=path, port=port, why="it says 500")
        if path == "/v1/models":
            commit = next(each for each in self.commits if each[:8] == pod[-8:])
            root = {"id": f"chat@{commit[:8]}", "root": f"/models/{commit}"}
            return self.models or json.dumps({"data": [root]})
        has = self.hub or [f"{REPO}/{self.commits[-1]}/{self.digest}"]
        if port == HUB and path.removeprefix("/readyz/") not in has:
            raise PodSilent(pod=pod, path=path, port=port, why="it says 404")
        return self._gateway() if port == GATEWAY else ""

    def _gateway(self) -> str:
        """100 requests a second, shared by weight since the last look."""
        weight = self.world.pins("dev").models["chat"].traffic["stable"].weight * self.asked
        asked = (self.time.now - self.at) * weight
        self.seen["requests"] += asked
        self.seen["errors"] += asked * self.failing(self.time.now)
        self.at = self.time.now
        healthy = self.healthy(self.time.now)
        lines = [
            f'envoy_cluster_membership_healthy{{envoy_cluster_name="chat@{commit[:8]}"}} {healthy}'
            for commit in self.commits
        ]
        good = self.seen["requests"] - self.seen["errors"]
        for code, number in (("2", good), ("5", self.seen["errors"])):
            labels = f'envoy_response_code_class="{code}",envoy_cluster_name="chat/stable"'
            lines.append(f"envoy_cluster_upstream_rq_xx{{{labels}}} {number}")
        return "\n".join([*lines, ""])
