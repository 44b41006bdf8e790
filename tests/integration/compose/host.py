"""A Compose project without containers: its services as processes of this machine.

Entrypoints, arguments, variables, files, order and health checks are those of compose.yaml; only
where things are differs: folders of the host in place of mounts, and ports of the loopback, because
all services share one network here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.services import free_port, needs, stop

ANSWERS = {"gateway": (8080, 9902, 9901), "model-hub": (8080,), "minio": (9000,)}
"""The ports of each service inside its container; engines answer at 8000."""
IMAGES = {
    "waybill/waybill": lambda: str(Path(".venv/bin/waybill").resolve()),
    "minio/minio": lambda: needs("WAYBILL_TEST_MINIO"),
}
"""The entrypoint that an image brings."""
PROGRAMS = {
    "envoy": lambda: needs("WAYBILL_TEST_ENVOY"),
    # Of the engine's own environment, in which `vllm` has no script that works.
    "vllm-python": lambda: needs("WAYBILL_TEST_VLLM"),
}
"""Programs that a container finds in its PATH."""
Service = Mapping[str, Any]


@dataclass
class Host:
    """`folder` holds compose.yaml; what runs is in `processes` by the service's name."""

    folder: Path
    scratch: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.content = yaml.safe_load((self.folder / "compose.yaml").read_text())
        self.services: dict[str, Service] = self.content["services"]
        self.aliases = {
            alias: name
            for name, service in self.services.items()
            for joined in (service.get("networks") or {}).values()
            for alias in (joined or {}).get("aliases", ())
        }
        for name, service in self.services.items():
            published = {
                each["target"]: int(each["published"]) for each in service.get("ports", ())
            }
            for port in ANSWERS.get(name, (8000,) if name.startswith("vllm-") else ()):
                self.ports[name, port] = published.get(port) or free_port()

    def up(self, *names: str, seconds: float = 500) -> None:
        """These services, or all of them, each after what it needs."""
        for name in names or self.services:
            self._start(name, seconds)
        for name in names or self.services:
            self._await(name, "service_healthy", seconds)

    def _start(self, name: str, seconds: float) -> None:
        if name in self.processes:
            return
        service = self.services[name]
        for before, how in (service.get("depends_on") or {}).items():
            self._start(before, seconds)
            self._await(before, how["condition"], seconds)
        with (self.scratch / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name),
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self, name: str, condition: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        process, once = self.processes[name], self.services[name]["restart"] == "on-failure"
        if condition == "service_completed_successfully" or once:
            assert process.wait(seconds) == 0, self.said(name)
        elif condition == "service_healthy" and "healthcheck" in self.services[name]:
            while not self.healthy(name):
                assert process.poll() is None and time.monotonic() < deadline, self.said(name)
                time.sleep(0.2)

    def healthy(self, name: str) -> bool:
        """What the service's own check says."""
        kind, *test = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [self._moved(name, word) for word in test]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def said(self, name: str) -> str:
        return f"{name}: {(self.scratch / f'{name}.log').read_text()[-3000:]}"

    def command(self, name: str) -> list[str]:
        service = self.services[name]
        first, *rest = service.get("entrypoint") or (service["image"],)
        words = [self._moved(name, word) for word in (*rest, *service.get("command", ()))]
        return [self._program(name, first), *words]

    def _program(self, name: str, first: str) -> str:
        """Of this machine, and as it is: it may lie below a folder that the container mounts."""
        image = self.services[name]["image"]
        if first == image:
            return IMAGES[re.sub(r"^[^/]+[.:][^/]*/|:[^:/]*$", "", image)]()
        return PROGRAMS[first]() if first in PROGRAMS else self._moved(name, first)

    def environment(self, name: str) -> dict[str, str]:
        """Nothing of this process's own but PATH: what a container has."""
        service = self.services[name]
        found = {"PATH": os.environ["PATH"], **(service.get("environment") or {})}
        for path in service.get("env_file", ()):
            lines = (self.folder / path).read_text().splitlines()
            found |= dict(line.split("=", 1) for line in lines)
        return {key: self._moved(name, value) for key, value in found.items()}

    def _mounts(self, name: str) -> dict[str, Path]:
        """Folder of the container -> folder of the host, whose configuration is moved, too."""
        service = self.services[name]
        found: dict[str, Path] = {}
        for mount in service.get("volumes", ()):
            source = (self.folder / mount["source"]).resolve()
            assert source.exists(), f"{name} mounts {source}, which is not there"
            if source.is_file():
                found |= self._linked(name, source, Path(mount["target"]))
            else:
                found[mount["target"]] = self._reread(name, source) if name == "gateway" else source
        for entry in service.get("tmpfs", ()):
            folder = self.scratch / name / entry.split(":")[0].strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            found[entry.split(":")[0]] = folder
        return found

    def _linked(self, name: str, source: Path, target: Path) -> dict[str, Path]:
        """A file of its own is reached by the folders above it, too."""
        root = self.scratch / name
        link = root / str(target).strip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(source)
        above = [each for each in target.parents if len(each.parts) > len(("/", "etc", "waybill"))]
        return {str(each): root / str(each).strip("/") for each in above}

    def _reread(self, name: str, source: Path) -> Path:
        """Envoy's files with this machine's addresses and folders in them."""
        target = self.scratch / name / source.name
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            text = path.read_text()
            if path.suffix == ".yaml":
                text = json.dumps(self._addressed(name, yaml.safe_load(text)))
                folders = {"/etc/waybill/gateway": "", "/etc/waybill/routes": "-routes"}
                for inside, suffix in folders.items():
                    outside = self.scratch / name / f"{self.content['name']}-gateway{suffix}"
                    text = text.replace(inside, str(outside))
            (target / path.name).write_text(text)
        return target

    def _addressed(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._addressed(name, each) for each in value]
        if not isinstance(value, dict):
            return value
        if {"address", "port_value"} <= value.keys():
            host, port = value["address"], value["port_value"]
            to = self.aliases.get(host, name)
            return {"address": "127.0.0.1", "port_value": self.ports[to, port]}
        return {key: self._addressed(name, each) for key, each in value.items()}

    def _moved(self, name: str, text: str) -> str:
        """A word or value with hosts, ports and folders of this machine."""

        def host(found: re.Match[str]) -> str:
            return f"127.0.0.1:{self.ports[self.aliases[found[1]], int(found[2])]}"

        text = re.sub(r"([\w-]+\.\w+\.svc):(\d+)", host, text.replace("$$", "$"))
        for (service, inside), outside in self.ports.items():
            if service == name:
                text = re.sub(rf"(?<![\w.]){inside}(?!\w)", str(outside), text)
        mounts = self._mounts(name)
        if not mounts:
            return text
        places = "|".join(sorted(map(re.escape, mounts), key=len, reverse=True))
        pattern = rf"(?<![\w.-])({places})(?=/|$)"
        return re.sub(pattern, lambda found: str(mounts[found[1]]), text)

    def down(self) -> None:
        for process in self.processes.values():
            stop(process)


@contextmanager
def host(folder: Path) -> Iterator[Host]:
    """A host with the project's services, none of which runs yet; all end with the block."""
    # Engines make sockets in their /tmp, and the path of a socket is short.
    with TemporaryDirectory(prefix="waybill-") as scratch:
        found = Host(folder, Path(scratch))
        try:
            yield found
        finally:
            found.down()
