"""A real Envoy with the chart's own configuration, on loopback ports instead of Services."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import yaml

from tests.chart.rendering import files, helm_template, named
from tests.services import free_port, needs, running

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a pod listens on, and no test
Values = Mapping[str, Any]
ALONE: dict[str, Any] = {
    "keycloak": {"enabled": False},
    "gateway": {"enabled": True},
}


def config(values: Sequence[Values], folder: Path) -> dict[str, str]:
    """The files of both ConfigMaps, as helm renders them."""
    folder.mkdir(exist_ok=True)
    objects = helm_template(files(values, folder), "t", "ns", 4, "1.34.0")
    maps = [named(objects, "ConfigMap", name) for name in ("gateway", "gateway-routes")]
    return {name: text for one in maps for name, text in one["data"].items()}


@dataclass(frozen=True)
class Places:
    """Where things are in the test: folders in place of the pod's, and ports of the loopback.

    `engines` has the port of each engine by the start of its Service's name.
    """

    folder: Path
    ports: Mapping[int, int]
    engines: Mapping[str, int]

    def moved(self, value: Any) -> Any:
        """The same configuration with hosts, ports and folders of the test, and nothing else."""
        if isinstance(value, str):
            return value.replace("/etc/waybill/", f"{self.folder}/")
        if isinstance(value, list):
            return [self.moved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if {"address", "port_value"} <= value.keys():
            return value | self.address(value["address"], value["port_value"])
        return {key: self.moved(one) for key, one in value.items()}

    def address(self, host: str, port: int) -> dict[str, object]:
        found = [there for name, there in self.engines.items() if host.startswith(f"t-{name}")]
        if found:
            return {"address": "127.0.0.1", "port_value": found[0]}
        here = "127.0.0.1" if host == EVERYWHERE else host
        return {"address": here, "port_value": self.ports.get(port, port)}

    def text(self, yaml_text: str) -> str:
        return json.dumps(self.moved(yaml.safe_load(yaml_text)))


def mount(folder: Path, contents: Mapping[str, str]) -> None:
    """Lay files out as the kubelet does: all of them change at once, by one renamed link."""
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, text in contents.items():
        (version / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..new").symlink_to(version.name)
    (folder / "..new").rename(folder / "..data")


@dataclass(frozen=True)
class Gateway:
    places: Places
    log: Path
    process: Popen[bytes]

    def address(self, port: int) -> str:
        return f"http://127.0.0.1:{self.places.ports[port]}"

    @property
    def url(self) -> str:
        return self.address(8080)

    def client(self, token: str = "", **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        given: dict[str, Any] = {"base_url": self.url, "headers": headers, "timeout": 30}
        return httpx.Client(trust_env=False, **given | options)

    def apply(self, values: Values) -> None:
        """What an upgrade does to a running pod: new clusters and routes, no restart."""
        new = config([values, ALONE], self.places.folder / "values")
        mount(self.places.folder / "routes", routes(new, self.places))

    def logged(self) -> list[dict[str, Any]]:
        """The access log so far."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def stat(self, name: str) -> int:
        with httpx.Client(trust_env=False) as client:
            text = client.get(f"{self.address(9901)}/stats?filter=^{name}$").text
        return int(text.rpartition(":")[2] or 0)


def routes(contents: Mapping[str, str], places: Places) -> dict[str, str]:
    return {name: places.text(contents[name]) for name in ("clusters.yaml", "routes.yaml")}


def asking(name_server: int, bootstrap: str) -> str:
    """The same configuration, with a name server at that port of the loopback."""
    told = json.loads(bootstrap)
    address = {"socket_address": {"address": "127.0.0.1", "port_value": name_server}}
    told["typed_dns_resolver_config"]["typed_config"]["resolvers"] = [address]
    return json.dumps(told)


def write(contents: Mapping[str, str], places: Places, name_server: int | None = None) -> Path:
    """Both ConfigMaps as folders; returns the bootstrap's path."""
    mount(places.folder / "routes", routes(contents, places))
    rest = {name: text for name, text in contents.items() if name not in routes(contents, places)}
    fixed = {
        name: places.text(text) if name.endswith(".yaml") else text for name, text in rest.items()
    }
    if name_server:
        fixed["bootstrap.yaml"] = asking(name_server, fixed["bootstrap.yaml"])
    mount(places.folder / "gateway", fixed)
    return places.folder / "gateway" / "bootstrap.yaml"


@contextmanager
def gateway(
    values: Values, engines: Mapping[str, int], folder: Path, name_server: int | None = None
) -> Iterator[Gateway]:
    """Envoy as the chart configures it, from its first Ready to the end of the block."""
    places = Places(folder, {port: free_port() for port in (8080, 9901, 9902)}, engines)
    bootstrap = write(config([values, ALONE], folder / "values"), places, name_server)
    command = [needs("WAYBILL_TEST_ENVOY"), "--config-path", str(bootstrap)]
    command += ["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]
    # The log is written in time for a test that reads it.
    command += ["--file-flush-interval-msec", "50"]
    log = folder / "envoy.log"
    ready = f"http://127.0.0.1:{places.ports[9902]}/ready"
    with running(command, dict(os.environ), log, ready, 60) as process:
        yield Gateway(places, log, process)
