"""Who may talk to whom and who waits for whom, as the chart's NetworkPolicies say it.

Each server has a network of its own, which whoever may ask it joins: no network leads out of the
host, but the one of those whom the values let out, and one for each service with a published port,
from where no answer finds its way back in, but for those of the host's resolver.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from waybill.deliver.compose.pods import ENGINE, LOOPBACK, Pod
from waybill.deliver.helm import Manifest

OUTSIDE, PUBLISHED = "outside", "published-"
"""The second is how the network of a published service begins: one for all would join them."""
PROVISIONS = {"minio": "minio-provision", "keycloak": "keycloak-realm"}
"""Server -> who makes it usable: nobody else has anything to ask for before.

Compose takes the end of a service that nobody waits for as a failure (`up --wait`).
"""
_NAME = "app.kubernetes.io/name"
_COMPONENT = "app.kubernetes.io/component"
_NO_MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": "false"}


@dataclass(frozen=True)
class Reach:
    """`arrows` are part -> parts that it may ask; `outside` are those who may leave the host.

    `aliases` are the names of the Services by the component that answers, `ports` what it
    answers at by the port's name.
    """

    arrows: Mapping[str, frozenset[str]]
    outside: frozenset[str]
    aliases: Mapping[str, list[str]]
    ports: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, objects: Sequence[Manifest], namespace: str, parts: Container[str]) -> Reach:
        """`parts` are those that have pods."""
        peers = dict(_peers(objects))
        arrows = {
            part: frozenset(filter(None, map(_target, each)))
            for part, each in peers.items()
            if part in parts
        }
        outside = {part for part in arrows if any(map(_leaves, peers[part]))}
        aliases: dict[str, list[str]] = {}
        ports: dict[str, dict[str, int]] = {}
        for each in objects:
            if each["kind"] == "Service":
                component = each["spec"]["selector"][_COMPONENT]
                name = f"{each['metadata']['name']}.{namespace}.svc"
                aliases.setdefault(component, []).append(name)
                numbers = {port["name"]: int(port["port"]) for port in each["spec"]["ports"]}
                ports.setdefault(component, {}).update(numbers)
        return cls(arrows, frozenset(outside), aliases, ports)

    def asked(self, part: str) -> list[str]:
        """The parts that it asks, but itself."""
        return sorted(self.arrows.get(part, frozenset()) - {part})

    def is_server(self, part: str) -> bool:
        return any(part in targets for targets in self.arrows.values())

    def networks(self, pod: Pod, *, asks: bool, answers: bool) -> dict[str, Any]:
        """What a service of the pod joins."""
        found: dict[str, Any] = {}
        if asks:
            found |= {part: {} for part in self.asked(pod.part)}
            found |= {OUTSIDE: {}} if pod.part in self.outside else {}
        if answers and self.is_server(pod.part):
            found[pod.part] = {"aliases": sorted(self.aliases.get(pod.component, []))}
        return found

    def waits_for(self, pod: Pod, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The servers that a service asks, and what makes them usable.

        A gateway answers for those engines that are there, so it waits for none.
        """
        found = {}
        for part in self.asked(pod.part):
            if part == ENGINE or part not in known:
                continue
            healthy = "service_healthy" if "healthcheck" in known[part] else "service_started"
            found[part] = {"condition": healthy}
            before = PROVISIONS.get(part, part)
            if before in known and before not in (part, pod.part):
                found[before] = {"condition": "service_completed_successfully"}
        return found


def _peers(objects: Iterable[Manifest]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Whom each part may ask; the policy that holds for all of them is about the DNS alone."""
    for each in objects:
        if each["kind"] != "NetworkPolicy":
            continue
        spec = each["spec"]
        if part := spec["podSelector"]["matchLabels"].get(_NAME):
            yield part, [peer for rule in spec.get("egress") or () for peer in rule["to"]]


def _target(peer: Mapping[str, Any]) -> str | None:
    labels = (peer.get("podSelector") or {}).get("matchLabels") or {}
    return None if "namespaceSelector" in peer else labels.get(_NAME)


def _leaves(peer: Mapping[str, Any]) -> bool:
    block = (peer.get("ipBlock") or {}).get("cidr", "")
    return "namespaceSelector" in peer or bool(block and block != f"{LOOPBACK}/32")


def definitions(services: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Every network that a service joins; `internal` is one without a way out."""
    names = {name for each in services for name in each.get("networks") or ()}
    return {name: _definition(name) for name in sorted(names)}


def _definition(name: str) -> dict[str, Any]:
    if name.startswith(PUBLISHED):
        return {"driver_opts": dict(_NO_MASQUERADE)}
    return {} if name == OUTSIDE else {"internal": True}
