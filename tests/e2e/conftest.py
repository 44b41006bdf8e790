"""One cluster, one project directory, and the steps that the tests of this folder build on.

The files are numbered because they tell one story: each begins where the one before it ended.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.kube import Kube
from tests.services import needs

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/waybill"
RELEASED = ROOT / "tests/fixtures/charts/waybill-0.1.0.tgz"
"""The last released chart as it was packaged: what people upgrade from."""
DEV, TEST = "waybill-dev", "waybill-test"
RELEASE = "w"
FIGURES: dict[str, str] = {}
"""What was measured; the summary prints it."""


@dataclass
class Project:
    """A scratch copy of the project's values, and `waybill` run in it as people run it."""

    folder: Path
    more: Path
    """A values file with what this cluster needs, and what a test sets."""
    values: dict[str, Any] = field(default_factory=dict)

    def waybill(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The result of a command under --json; fails unless it exits with `code`."""
        command = [sys.executable, "-m", "waybill", *arguments, "--json"]
        command += ["--project", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env)
        assert done.returncode == code, f"{arguments}: {done.stderr}\n{done.stdout}"
        said: dict[str, Any] = json.loads(done.stdout)
        return {"stderr": done.stderr, **said.get("result", said)}

    def install(
        self, environment: str, *flags: str, chart: Path = CHART, code: int = 0
    ) -> dict[str, Any]:
        return self.release("install", environment, *flags, chart=chart, code=code)

    def release(
        self, command: str, environment: str, *flags: str, chart: Path = CHART, code: int = 0
    ) -> dict[str, Any]:
        """install, render or doctor with a chart and the values as they are now."""
        self.more.write_text(yaml.safe_dump(self.values))
        where = ("--chart", str(chart), "--values", str(self.more))
        return self.waybill(command, environment, *where, *flags, code=code)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "WAYBILL_HELM": needs("WAYBILL_TEST_HELM4"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials"),
            "AWS_CONFIG_FILE": "/dev/null",
        }

    def reaches(self, kube: Kube, environment: str, namespace: str) -> None:
        """Name the environment's object store and the credentials that promotion uses."""
        path = self.folder / "values/environments.yaml"
        known = yaml.safe_load(path.read_text())
        address = f"http://{kube.address(namespace, f'{RELEASE}-minio')}:9000"
        known["environments"][environment] |= {"endpoint": address, "profile": environment}
        path.write_text(yaml.safe_dump(known, sort_keys=False))
        keys = kube.secret(namespace, f"{RELEASE}-objectstore-promote")
        with (self.folder / "credentials").open("a") as profiles:
            profiles.write(
                f"[{environment}]\naws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\n"
                f"aws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n"
            )


@pytest.fixture(scope="session")
def kube() -> Kube:
    needs("KUBECONFIG")
    return Kube()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, kube: Kube) -> Iterator[Project]:
    """A new one; or the one that WAYBILL_TEST_PROJECT names, to go on with a kept cluster."""
    if kept := os.environ.get("WAYBILL_TEST_PROJECT"):
        more = Path(kept) / "more.yaml"
        yield Project(Path(kept), more, yaml.safe_load(more.read_text()))
        return
    folder = tmp_path_factory.mktemp("project")
    (folder / "values").mkdir()
    environments = {
        name: {"store": "s3://waybill", "namespace": namespace, "release": RELEASE}
        for name, namespace in (("dev", DEV), ("test", TEST))
    }
    for name, namespace in (("dev", DEV), ("test", TEST)):
        (folder / f"values/{name}.yaml").write_text((ROOT / "values/dev.yaml").read_text())
        kube.make_namespace(namespace)
        kube.apply(engine_volume(namespace))
    text = yaml.safe_dump({"environments": environments}, sort_keys=False)
    (folder / "values/environments.yaml").write_text(text)
    here = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    yield Project(folder, folder / "more.yaml", here)


@pytest.fixture(scope="session")
def chat_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two versions of one chat model."""
    maker = Path(__file__).parent / "make_chat_model.py"
    made = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("chat") / str(seed)
        command = [needs("WAYBILL_TEST_VLLM"), str(maker), str(seed), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        made.append(folder)
    return made


def engine_volume(namespace: str) -> str:
    """The engine's environment, 6 GB that no image carries here, as a volume to be mounted."""
    python = Path(needs("WAYBILL_TEST_VLLM"))
    text = (ROOT / "ci/images/vllm-environment.yaml").read_text()
    text = text.replace("@ENVIRONMENT@", str(python.parents[1]))
    return text.replace("@NAMESPACE@", namespace)


@dataclass(frozen=True)
class Gateway:
    """The one endpoint of an environment, as a client with a token sees it."""

    url: str
    token: str

    def post(self, path: str, body: dict[str, Any], token: str | None = None) -> httpx.Response:
        bearer = self.token if token is None else token
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        with httpx.Client(trust_env=False, timeout=120) as client:
            return client.post(f"{self.url}{path}", json=body, headers=headers)

    def chat(self, model: str, text: str = "where does it go") -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        body = {"model": model, "messages": messages, "max_tokens": 8}
        return self.post("/v1/chat/completions", body)


def gateway(kube: Kube, namespace: str) -> Gateway:
    """With a token that Keycloak gives the gateway's client; valid for some minutes."""
    url = f"http://{kube.address(namespace, f'{RELEASE}-keycloak')}:8080"
    client = kube.secret(namespace, f"{RELEASE}-oidc-gateway")
    answer = httpx.post(
        f"{url}/realms/waybill/protocol/openid-connect/token",
        data={"grant_type": "client_credentials"},
        auth=(client["clientId"], client["clientSecret"]),
        timeout=30,
    )
    token = answer.raise_for_status().json()["access_token"]
    return Gateway(f"http://{kube.address(namespace, f'{RELEASE}-gateway')}:8080", token)


class Clock:
    """`with Clock("install to ready"):` measures the block for the summary."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        FIGURES[self._what] = f"{time.monotonic() - self._start:.1f} s"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, figure in FIGURES.items():
        terminalreporter.line(f"measured: {what}: {figure}")
