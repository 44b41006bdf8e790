"""A Compose project's services as containers, by podman, in namespaces of their own.

Mounts, bridges, addresses and rules of the firewall are those of the namespaces and end with them;
of the machine itself only cgroups are used, below `libpod_parent`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.pages import REPO
from tests.services import needs

CGROUPS = Path("/sys/fs/cgroup")
OUTSIDE = "203.0.113.2"
"""Beyond the host: who may leave it reaches port 80, and its names are asked for there."""
# crun reads one hierarchy of cgroups, and takes the older one where both are mounted.
_BEGIN = f"""
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
resolver=$(readlink -f /etc/resolv.conf)
[ -e "$resolver" ] || install -D /dev/null "$resolver"
mount --bind "$2/resolv.conf" "$resolver"
! mountpoint --quiet {CGROUPS}/unified || umount {CGROUPS}/unified
ip link set lo up
ip netns add outside
ip link add outside type veth peer name eth0 netns outside
ip address add 203.0.113.1/30 dev outside
ip link set outside up
ip -n outside address add {OUTSIDE}/30 dev eth0
ip -n outside link set eth0 up
ip route add default via {OUTSIDE}
cd "$2"
ip netns exec outside "$1" {Path(__file__).with_name("outside.py")} {OUTSIDE} >&2 &
echo ready
exec "$3" -P
"""
_GET = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"
_POST = """
import json, sys, urllib.request as r
url, body = sys.argv[1:]
try:
    asked = r.Request(url, body.encode(), {"Content-Type": "application/json"})
    answer = r.urlopen(asked, timeout=100)
except r.HTTPError as error:
    answer = error
told = {"status": answer.status, "headers": dict(answer.headers), "body": answer.read().decode()}
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Room:
    """`programs` is the folder that `ci/tools podman` made, `init` the first process inside."""

    folder: Path
    programs: Path
    init: int

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", f"--target={self.init}", "--mount", "--net", "--pid", "--ipc"]
        settings = {
            "HOME": str(self.folder / "home"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        done = subprocess.run(
            [*inside, f"--wd={cwd or self.folder}", *command],
            env={"PATH": os.environ["PATH"], **settings, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def podman(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(self.programs / "bin/podman", *words, check=check)

    def bring(self, project: Path, *wanted: str) -> None:
        """Images of the tests' archives into a bundle, and out of it into podman.

        `wanted`: names, and the environment, as `waybill images save` takes them.
        """
        waybill, bundle = Path(sys.executable).with_name("waybill"), self.folder / "images"
        archives = [f"--archive={path}" for path in needs("WAYBILL_TEST_IMAGES").split("\n")]
        save = (*wanted, *archives, "--no-chart", f"--chart={REPO / 'charts/waybill'}")
        helm = {"WAYBILL_HELM": needs("WAYBILL_TEST_HELM4")}
        self.run(waybill, "images", "save", *save, "--out", bundle, cwd=project, env=helm)
        path = {"PATH": f"{self.programs / 'bin'}:{os.environ['PATH']}"}
        load = ("load", bundle, "--runtime=podman", "--as=waybill.local")
        self.run(waybill, "images", *load, env=path)
        shutil.rmtree(bundle)

    def get(self, url: str) -> str:
        """What the address answers to somebody on the host."""
        return self.run(sys.executable, "-c", _GET, url).stdout

    def post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """`status`, `headers` and `body` of what the address answers to somebody on the host."""
        told = self.run(sys.executable, "-c", _POST, url, json.dumps(body)).stdout
        answer: dict[str, Any] = json.loads(told)
        return answer

    def up(self, project: Path, *services: str) -> None:
        """One after the other: podman does not start what depends on containers that ended."""
        compose = (
            Path(sys.executable).with_name("podman-compose"),
            *("--in-pod=false", f"--podman-path={self.programs / 'bin/podman'}"),
            *("-f", "compose.yaml", "-f", "podman.yaml", "up", "--detach", "--no-deps"),
        )
        content = yaml.safe_load((project / "compose.yaml").read_text())["services"]
        for name in services:
            self.run(*compose, name, cwd=project)
            if content[name]["restart"] == "on-failure":
                code = self.podman("wait", container(name)).stdout.strip()
                assert code == "0", self.said(name)

    def await_health(self, *services: str, seconds: float = 120) -> None:
        """By the services' own checks, which podman leaves to systemd."""
        deadline = time.monotonic() + seconds
        for name in services:
            while self.podman("healthcheck", "run", container(name), check=False).returncode:
                assert time.monotonic() < deadline, self.said(name)
                time.sleep(0.5)

    def reaches(self, service: str, url: str) -> bool:
        """From inside a container; what answers answers 200."""
        ask = ("timeout", "5", "wget", "-q", "-O", "-", url)
        return self.podman("exec", container(service), *ask, check=False).returncode == 0

    def process(self, service: str) -> Path:
        """What the kernel says of a container's first process."""
        told = json.loads(self.podman("inspect", container(service)).stdout)
        return Path(f"/proc/{told[0]['State']['Pid']}")

    def status(self, service: str) -> dict[str, str]:
        lines = self.run("cat", self.process(service) / "status").stdout.splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def mounts(self, service: str) -> dict[str, tuple[str, set[str]]]:
        """Where -> (kind of file system, options)."""
        text = self.run("cat", self.process(service) / "mountinfo").stdout
        lines = [line.split() for line in text.splitlines()]
        return {w[4]: (w[w.index("-") + 1], set(w[5].split(","))) for w in lines}

    def memory(self, service: str) -> int:
        """The limit in bytes, in whichever hierarchy there is."""
        lines = self.run("cat", self.process(service) / "cgroup").stdout.splitlines()
        found = dict(line.split(":", 2)[1:] for line in lines)
        if "memory" in found:
            limit = CGROUPS / "memory" / found["memory"].strip("/") / "memory.limit_in_bytes"
        else:
            limit = CGROUPS / found[""].strip("/") / "memory.max"
        return int(limit.read_text())

    def said(self, service: str) -> str:
        done = self.podman("logs", "--tail=30", container(service), check=False)
        return f"{service}: {done.stdout}{done.stderr}"


def container(service: str) -> str:
    return f"waybill_{service}_1"


def _configure(folder: Path, programs: Path) -> None:
    tree, store = programs / "tree/usr", folder / "store"
    (folder / "home/.config/containers").mkdir(parents=True)
    policy = programs / "tree/etc/containers/policy.json"
    (folder / "home/.config/containers/policy.json").symlink_to(policy)
    (folder / "home/resolv.conf").write_text(f"nameserver {OUTSIDE}\n")
    settings: dict[str, dict[str, Any]] = {
        "containers": {"seccomp_profile": f"{tree}/share/containers/seccomp.json"},
        "engine": {
            "cgroup_manager": "cgroupfs",
            "conmon_path": [f"{programs}/bin/conmon"],
            "events_logger": "file",
            "helper_binaries_dir": [f"{tree}/lib/podman"],
            "lock_type": "file",
            "runtime": "crun",
        },
        "engine.runtimes": {"crun": [f"{programs}/bin/crun"]},
        "network": {"network_backend": "netavark", "network_config_dir": f"{folder}/networks"},
    }
    _write(folder / "containers.conf", settings)
    places = {"driver": "overlay", "graphroot": str(store), "runroot": "/run/containers/storage"}
    _write(folder / "storage.conf", {"storage": places})


def _write(path: Path, tables: dict[str, dict[str, Any]]) -> None:
    """As TOML, whose strings and lists are JSON's."""
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n")


def _clear(folder: Path) -> None:
    """The cgroups of containers that were killed, and their files; the kernel takes a moment."""
    parents = [*CGROUPS.glob("libpod_parent"), *CGROUPS.glob("*/libpod_parent")]
    ids = [path.name for path in (folder / "store/overlay-containers").glob("*") if path.is_dir()]
    left = [path for parent in parents for one in ids for path in parent.glob(f"*{one}*")]
    deadline = time.monotonic() + 20
    while left and time.monotonic() < deadline:
        for path in left:
            with suppress(OSError):
                path.rmdir()
        left = [path for path in left if path.exists()]
        time.sleep(0.1)
    for path in (*(parent / "conmon" for parent in parents), *parents):
        # The kernel keeps what another podman's containers are in.
        with suppress(OSError):
            path.rmdir()
    shutil.rmtree(folder / "store", ignore_errors=True)


@contextmanager
def room(podman: str, folder: Path) -> Iterator[Room]:
    """Everything inside ends with the block, as its first process does."""
    programs = Path(podman).parents[1]
    _configure(folder, programs)
    begin = ["bash", "-euc", _BEGIN, "room", sys.executable, str(folder / "home")]
    unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child"]
    with (folder / "room.log").open("w") as log:
        outer = subprocess.Popen(
            [*unshare, "--mount-proc", *begin, str(programs / "tree/usr/bin/catatonit")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with outer:
        try:
            assert outer.stdout
            assert outer.stdout.readline() == "ready\n", (folder / "room.log").read_text()
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text()
            yield Room(folder, programs, int(children))
        finally:
            outer.kill()
            outer.wait()
            _clear(folder)
