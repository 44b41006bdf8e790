"""A whole project of Compose: services, networks and the files beside them, the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import yaml

from waybill.deliver.compose.containers import CONFIG, Service, Translation, gpus
from waybill.deliver.compose.networks import PUBLISHED, Reach, definitions
from waybill.deliver.compose.pods import ENGINE, HUB, Pod, pods, rendered
from waybill.deliver.compose.unsaid import check, check_kinds
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm, Manifest
from waybill.deliver.secrets import Plan
from waybill.errors import NotEnoughGpus, NotPublishable

FRONT = {"gateway": "127.0.0.1:8080"}
"""Published where nothing else is said: for this host alone."""
_DOORS = ("https", "http", "s3")
"""The port that is published, the first of these that a server has."""
_OPEN = (HUB, ENGINE)
"""Parts that answer whoever reaches them."""
_JOB = "waybill.job"
"""A label that changes with what a Job does, so that it runs again."""
_HEADER = "# Written by `waybill compose {environment}`: do not edit, run it again.\n"


@dataclass(frozen=True)
class Options:
    """`data` is the folder of what grows, `publish` is service -> [address:]port of the host.

    `gpus` are ids of devices, () for the first ones; `pull` says when images are pulled.
    """

    data: str = "./data"
    publish: Mapping[str, str] = field(default_factory=lambda: FRONT)
    gpus: Sequence[str] = ()
    pull: str = "missing"


@dataclass(frozen=True)
class Project:
    """`config` is path -> text, `env` is service -> variable -> (Secret, key).

    `given` are paths that must be there besides, `folders` what has to belong to `owner`.
    """

    content: Mapping[str, Any]
    text: str
    config: Mapping[str, str]
    plan: Plan
    env: Mapping[str, Mapping[str, tuple[str, str]]]
    given: frozenset[str]
    data: str
    folders: Sequence[str]
    owner: tuple[int, int] | None

    @property
    def images(self) -> list[str]:
        return sorted({each["image"] for each in self.content["services"].values()})


def project(environment: Environment, release: Helm, options: Options) -> Project:
    """Raises NotInCompose, NotEnoughGpus, NotPublishable, and what `rendered` raises."""
    objects = rendered(release, environment.store)
    check_kinds(objects)
    made = Translation(options.data)
    found = pods(objects)
    reach = Reach.of(objects, release.namespace, {pod.part for pod in found})
    services = _services(found, made, reach)
    _give_gpus(found, services, options.gpus)
    _publish(found, services, reach, options.publish)
    for each in services.values():
        each["pull_policy"] = options.pull
    content = {
        "name": release.release,
        "services": services,
        "networks": definitions(services.values()),
    }
    return Project(
        content=content,
        text=_HEADER.format(environment=environment.name) + _yaml(_literal(content)),
        config=dict(_config(objects, made.given)),
        plan=Plan.among(objects),
        env=made.env,
        given=frozenset(made.given),
        data=options.data,
        folders=sorted(made.folders),
        owner=_owner(found),
    )


def _services(found: Sequence[Pod], made: Translation, reach: Reach) -> dict[str, Service]:
    """All pods' services by name, each in its networks and after what it needs."""
    services: dict[str, Service] = {}
    for pod in found:
        check(pod)
        for name, container in _named(pod):
            services[name] = made.service(pod, container, name)
    for pod in found:
        before: dict[str, Any] = {}
        for name, container in _named(pod):
            first = container in pod.first
            # What an engine fetches comes before it: serving, it asks nobody.
            asks = first or not (pod.part == ENGINE and pod.first)
            each = services[name]
            _join(each, reach.networks(pod, asks=asks, answers=not first))
            needs = before | (reach.waits_for(pod, services) if asks else {})
            each |= {"depends_on": needs} if needs else {}
            if first:
                before = {name: {"condition": "service_completed_successfully"}}
            if first or pod.once:
                each["restart"] = "on-failure"
            if pod.once:
                each.setdefault("labels", {})[_JOB] = pod.manifest["metadata"]["name"]
    return services


def _named(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The services of a pod, in the order in which they begin."""
    for container in pod.first:
        yield f"{pod.component}-{container['name']}", container
    for container in pod.containers:
        if pod.replicas == 1:
            yield pod.component, container
        else:
            yield from ((f"{pod.component}-{n + 1}", container) for n in range(pod.replicas))


def _join(service: Service, networks: Mapping[str, Any]) -> None:
    """Without a word on networks it would get one that leads out."""
    if networks:
        service["networks"] = dict(networks)
    else:
        service["network_mode"] = "none"


def _give_gpus(found: Iterable[Pod], services: Mapping[str, Service], named: Sequence[str]) -> None:
    """Devices of its own for each engine: of a mere count, all would get the first ones."""
    needs = {
        name: count for pod in found for name, each in _named(pod) if (count := gpus(each)) > 0
    }
    needed = sum(needs.values())
    ids = list(named) or [str(number) for number in range(needed)]
    if needed > len(ids):
        raise NotEnoughGpus(needed=needed, named=", ".join(ids))
    for name, count in needs.items():
        device = {"driver": "nvidia", "device_ids": ids[:count], "capabilities": ["gpu"]}
        ids = ids[count:]
        resources = services[name].setdefault("deploy", {}).setdefault("resources", {})
        resources["reservations"] = {"devices": [device]}


def _publish(
    found: Iterable[Pod], services: Mapping[str, Service], reach: Reach, publish: Mapping[str, str]
) -> None:
    """Raises NotPublishable."""
    open_to_all = {name for pod in found if pod.part in _OPEN for name, _ in _named(pod)}
    for name, place in publish.items():
        ports = reach.ports.get(name, {})
        inside = next((ports[door] for door in _DOORS if door in ports), None)
        if inside is None or name not in services:
            known = ", ".join(each for each in reach.ports if each in services)
            raise NotPublishable(name=name, why=f"nothing answers there; choose from: {known}")
        address, _, port = place.rpartition(":")
        address = address.strip("[]")
        if name in open_to_all and not (address and ip_address(address).is_loopback):
            why = f"it asks for no token here: {name}=127.0.0.1:{port} is for this host alone"
            raise NotPublishable(name=name, why=why)
        host = {"host_ip": address} if address else {}
        service = services[name]
        service["ports"] = [{"target": inside, "published": port, "protocol": "tcp", **host}]
        service.setdefault("networks", {})[PUBLISHED + name] = {}


def _config(objects: Iterable[Manifest], given: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The files of those ConfigMaps that are mounted."""
    wanted = {"/".join(path.split("/")[:2]) for path in given}
    for each in objects:
        folder = f"{CONFIG}/{each['metadata']['name']}"
        if each["kind"] == "ConfigMap" and folder in wanted:
            yield from ((f"{folder}/{key}", text) for key, text in sorted(each["data"].items()))


def _owner(found: Iterable[Pod]) -> tuple[int, int] | None:
    """User and group of what the containers write; None where each image has its own."""
    for pod in found:
        context = pod.spec.get("securityContext") or {}
        if "runAsUser" in context:
            return context["runAsUser"], context.get("fsGroup", 0)
    return None


def _literal(value: Any) -> Any:
    """Compose takes a $ for one of its variables."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_literal(each) for each in value]
    if isinstance(value, dict):
        return {key: _literal(each) for key, each in value.items()}
    return value


class _Dumper(yaml.SafeDumper):
    """Sorted, without anchors; what begins like a number is quoted: readers differ on those."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML asks for each value
        return True


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if re.match(r"[-+.]?\d", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent)


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.dump(dict(content), Dumper=_Dumper, width=1000, sort_keys=True)
