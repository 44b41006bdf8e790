"""Real servers for tests: started on a free loopback port, waited for, stopped again."""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

MADE_BY = {
    "KUBECONFIG": "ci/cluster/up",
    "WAYBILL_TEST_MINIO": "ci/tools minio",
    "WAYBILL_BENCH_MC": "ci/tools mc",
    "WAYBILL_TEST_VLLM": "ci/tools vllm",
    "WAYBILL_TEST_MODEL": "ci/tools model",
    "WAYBILL_TEST_KEYCLOAK": "ci/tools keycloak",
    "WAYBILL_TEST_ENVOY": "ci/tools envoy",
    "WAYBILL_TEST_REGISTRY": "ci/tools registry",
    "WAYBILL_TEST_COMPOSE": "ci/tools compose",
    "WAYBILL_TEST_PROMRULES": "ci/tools promrules",
    "WAYBILL_TEST_KUBERNETES": "ci/tools kubernetes",
    "WAYBILL_TEST_SKOPEO": "ci/tools skopeo",
    "WAYBILL_TEST_PODMAN": "ci/tools podman",
    "WAYBILL_TEST_IMAGES": "ci/tools images",
    "WAYBILL_TEST_HELM3": "ci/tools helm3",
    "WAYBILL_TEST_HELM4": "ci/tools helm4",
    "WAYBILL_TEST_REPLICATED": "ci/tools replicated",
    "WAYBILL_TEST_GITOPS": "ci/tools gitops",
    "WAYBILL_TEST_GROOVY": "ci/tools groovy",
    "WAYBILL_TEST_PREFLIGHT": "ci/tools preflight",
    "WAYBILL_TEST_SUPPORT_BUNDLE": "ci/tools support-bundle",
    "WAYBILL_TEST_PROMETHEUS_OPERATOR": "ci/tools prometheus-operator",
}


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_SHARE = 1000
_FIRST = 12_000 + _WORKER % 18 * _SHARE
_PORTS = cycle(_FIRST + (os.getpid() + step) % _SHARE for step in range(_SHARE))
"""Two runs on one machine have the same ports, so each begins at another one."""


class NotReady(Exception):
    """A server ended or did not answer in time; the message carries the end of its log."""


def needs(variable: str) -> str:
    """What the variable says; without it the test is skipped, or fails where nothing may be."""
    if value := os.environ.get(variable):
        return value
    missing = f"{variable} is not set; {MADE_BY[variable]} tells it, or use ci/test"
    if os.environ.get("WAYBILL_TEST_NO_SKIP"):
        pytest.fail(missing)
    pytest.skip(missing)


def free_port() -> int:
    """Of this test process alone, and none that the kernel gives to connections meanwhile.

    Raises NotReady when all of them are taken.
    """
    for port in islice(_PORTS, _SHARE):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotReady(f"every port from {_FIRST} on is taken")


@contextmanager
def running(
    command: list[str],
    env: Mapping[str, str],
    log: Path,
    health: str,
    seconds: float,
    trust: ssl.SSLContext | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a server, from the first 200 of its health address to the end of the block.

    `trust` is for one whose certificate no public authority has signed.
    """
    with log.open("wb") as sink:
        server = subprocess.Popen(
            command,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_healthy(server, log, health, seconds, trust)
        yield server
    finally:
        stop(server)


def wait_until_healthy(
    server: subprocess.Popen[bytes],
    log: Path,
    health: str,
    seconds: float,
    trust: ssl.SSLContext | None = None,
) -> None:
    # Never through a proxy that the environment may name: these are addresses of this machine.
    deadline = time.monotonic() + seconds
    with httpx.Client(trust_env=False, timeout=5, verify=trust or True) as client:
        while server.poll() is None and time.monotonic() < deadline:
            try:
                if client.get(health).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    said = "ended" if server.poll() is not None else f"was not ready after {seconds:.0f} s"
    raise NotReady(f"{server.args!r} {said}\n{tail(log)}")


def tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    # An engine has workers of its own, which may outlive it.
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Minio:
    endpoint: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Secured:
    """How a server is reached from elsewhere: its address, its files, and who trusts them."""

    host: str
    certificate: Path
    key: Path
    trust: ssl.SSLContext


@contextmanager
def minio_server(
    program: str, folder: Path, again: Minio | None = None, secured: Secured | None = None
) -> Iterator[Minio]:
    """`again`: the one that ran in this folder before."""
    base = f"https://{secured.host}" if secured else "http://127.0.0.1"
    server = again or Minio(
        f"{base}:{free_port()}", "waybill-" + secrets.token_hex(4), secrets.token_hex(16)
    )
    address = server.endpoint.partition("://")[2]
    env = {
        "MINIO_ROOT_USER": server.access_key,
        "MINIO_ROOT_PASSWORD": server.secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "HOME": str(folder),
    }
    command = [program, "server", "--quiet", "--address", address]
    if secured:
        # The names that it looks for.
        (folder / "certs").mkdir(parents=True)
        shutil.copy(secured.certificate, folder / "certs/public.crt")
        shutil.copy(secured.key, folder / "certs/private.key")
        command += ["--certs-dir", str(folder / "certs")]
    health = f"{server.endpoint}/minio/health/ready"
    trust = secured.trust if secured else None
    with running([*command, str(folder / "data")], env, folder / "minio.log", health, 30, trust):
        if not secured:
            _wait_for_keys(server)
        yield server


def _wait_for_keys(server: Minio) -> None:
    """It calls itself ready some time before it knows any key, on a machine that is busy."""
    patient = Config(retries={"mode": "standard", "total_max_attempts": 8})
    session = boto3.session.Session(server.access_key, server.secret_key)
    session.client(
        "s3", endpoint_url=server.endpoint, region_name="us-east-1", config=patient
    ).list_buckets()


@dataclass(frozen=True)
class Engine:
    url: str
    log: Path


@contextmanager
def vllm(
    model: str,
    folder: Path,
    *options: str,
    revision: str | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = 240,
) -> Iterator[Engine]:
    """A real vLLM that serves the model as `model`; its cache and its log are in the folder.

    Where the model comes from is said in env (HF_ENDPOINT …); a model that is a directory needs
    none.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        needs("WAYBILL_TEST_VLLM"),
        "-m",
        "vllm.entrypoints.openai.api_server",
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--model", model, "--served-model-name", "model"),
        *(("--revision", revision) if revision else ()),
        *("--enforce-eager", "--max-model-len", "256"),
        *options,
    ]
    settings = {
        "HOME": str(folder),
        "HF_HOME": str(folder / "huggingface"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        **(env or {}),
    }
    with running(command, settings, folder / "vllm.log", f"{url}/health", seconds):
        yield Engine(url, folder / "vllm.log")
