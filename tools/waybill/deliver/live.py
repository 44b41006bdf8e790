"""What an environment really serves: its engines asked themselves, its gateways' metrics read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from waybill.deliver import install, metrics, rollout
from waybill.deliver.metrics import Key, Look
from waybill.deliver.pins import Revision
from waybill.deliver.rollout import Object
from waybill.errors import PodSilent

DIGEST = "waybill.dev/digest"
"""What the chart writes on an engine's pods: the digest of the manifest that they were made for."""
COMPONENT = "app.kubernetes.io/component"
ENGINE, GATEWAY, HUB = 8000, 9902, 8080
"""Ports of an engine's API and metrics, of a gateway's metrics, and of a hub."""
_HEALTHY = "envoy_cluster_membership_healthy"
_SHOWN = 80


class Cluster(install.Cluster, Protocol):
    """What looking at it asks of a cluster, in one namespace."""

    def fetched(self, pod: str, port: int, path: str) -> str: ...


@dataclass(frozen=True)
class Engines:
    """The engines of one revision of a model, in a release."""

    cluster: Cluster
    release: str
    model: str
    revision: Revision

    @property
    def component(self) -> str:
        return f"vllm-{self.model}-{self.revision.short}"

    @property
    def name(self) -> str:
        """As the gateway and the engine itself call it."""
        return f"{self.model}@{self.revision.short}"

    def _selector(self, component: str) -> str:
        return f"{install.INSTANCE}={self.release},{COMPONENT}={component}"

    def deployment(self) -> Object | None:
        found = self.cluster.listed("deployments", self._selector(self.component))
        return found[0] if found else None

    def replicas(self) -> int:
        found = self.deployment()
        return int(found["spec"].get("replicas", 1)) if found else 0

    def available(self) -> int:
        """How many of them answer."""
        found = self.deployment()
        return int(found.get("status", {}).get("availableReplicas", 0)) if found else 0

    def lacks(self) -> str:
        """What they are short of; empty when all are ready."""
        found = self.deployment()
        return rollout.lacks(found) if found else f"there is no Deployment for {self.name}"

    def pods(self) -> list[Object]:
        return _staying(self.cluster.listed("pods", self._selector(self.component)))

    def gateways(self) -> list[Object]:
        return _staying(self.cluster.listed("pods", self._selector("gateway")))

    def hubs(self) -> list[Object]:
        return _staying(self.cluster.listed("pods", self._selector("model-hub")))

    def objections(self) -> Iterator[str]:
        """Why this is not what the pin says: by annotation, by engines, by gateways, by hubs.

        Raises PodSilent.
        """
        if lacks := self.lacks():
            yield lacks
        for pod in self.pods():
            yield from self._of_pod(pod)
        yield from self.unheard()
        for name in _ready(self.hubs()):
            yield from self._of_hub(name)

    def unheard(self) -> Iterator[str]:
        """Which gateways send requests to fewer of them than there are. Raises PodSilent."""
        wanted = self.replicas()
        for name in _ready(self.gateways()):
            found = healthy(self.cluster.fetched(name, GATEWAY, "/stats/prometheus"), self.name)
            if found != wanted:
                yield f"the gateway {name} has {found} of {wanted} engines of {self.name}"

    def _of_pod(self, pod: Object) -> Iterator[str]:
        name = pod["metadata"]["name"]
        digest = (pod["metadata"].get("annotations") or {}).get(DIGEST)
        if digest != self.revision.digest:
            yield f"the pod {name} was made for {digest}, and {self.revision.digest} is pinned"
        page = self.cluster.fetched(name, ENGINE, path := "/v1/models")
        try:
            roots = {each["id"]: str(each.get("root")) for each in json.loads(page)["data"]}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            why = f"it answers {page[:_SHOWN]!r}, which is no list of models"
            raise PodSilent(pod=name, path=path, port=ENGINE, why=why) from error
        if not roots.get(self.name, "").endswith(f"/{self.revision.commit}"):
            yield f"the engine {name} serves {', '.join(map(str, roots.values()))}"

    def _of_hub(self, name: str) -> Iterator[str]:
        """What it gives to engines that start is asked of itself: it may read another store."""
        repo, commit, digest = self.revision.repo, self.revision.commit, self.revision.digest
        try:
            self.cluster.fetched(name, HUB, f"/readyz/{repo}/{commit}/{digest}")
        except PodSilent as error:
            yield f"the hub {name} does not say that it gives {repo}@{commit} as {digest}: {error}"

    def look(self, slot: str, *, whole: bool) -> Look:
        """The counters as they stand, of all pods that are ready; where not `whole`, of those that
        answer, of which one has to be a gateway where there are any. Raises PodSilent.

        The first of two looks must be whole: what a pod has ever counted would else seem to have
        happened between them. A pod that is not ready is marked, for the same reason.
        """
        gateways, engines = self.gateways(), self.pods()
        of_slot = partial(metrics.of_gateway, slot=f"{self.model}/{slot}")
        pages = [*self._pages(gateways, GATEWAY, "/stats/prometheus", whole=whole)]
        if gateways and not pages:
            name = gateways[0]["metadata"]["name"]
            why = "no gateway is ready and answers"
            raise PodSilent(pod=name, path="/stats/prometheus", port=GATEWAY, why=why)
        found: dict[Key, float] = {}
        for name, page in pages:
            found |= of_slot(name, page)
        for name, page in self._pages(engines, ENGINE, "/metrics", whole=whole):
            found |= metrics.of_engine(name, page)
        names = {pod["metadata"]["name"] for pod in (*gateways, *engines)}
        return found | metrics.unknown(names - {*_ready(gateways), *_ready(engines)})

    def _pages(
        self, pods: list[Object], port: int, path: str, *, whole: bool
    ) -> Iterator[tuple[str, str]]:
        for name in _ready(pods):
            try:
                yield name, self.cluster.fetched(name, port, path)
            except PodSilent:
                if whole:
                    raise


def healthy(page: str, cluster: str) -> int:
    """How many engines of a cluster a gateway finds healthy."""
    found = metrics.samples(page)
    named: Mapping[str, Any] = {"envoy_cluster_name": cluster}
    counts = (value for name, labels, value in found if name == _HEALTHY and labels == named)
    return round(sum(counts))


def _ready(pods: list[Object]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods if rollout.condition(pod, "Ready")]


def _staying(pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
