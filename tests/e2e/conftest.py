"""One cluster, one project directory, and the steps that the tests of this folder build on.

The files are numbered because they tell one story: each begins where the one before it ended.
"""

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
from tests.printed import printed
from tests.services import needs
from waybill.deliver.helm import overlay

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/waybill"
RELEASED = max((ROOT / "tests/fixtures/charts").glob("waybill-*.tgz"), key=lambda path: path.name)
"""The last released chart as it was packaged: what people upgrade from."""
DEV, TEST = "waybill-dev", "waybill-test"
NAMESPACES = {"dev": DEV, "test": TEST}
USERS = ("promote", "sideload")
"""Whose keys of a store this machine has: nobody gets more than the work needs."""
RELEASE = "w"
FIGURES: dict[str, str] = {}
"""What was measured; the summary prints it."""


@dataclass
class Project:
    """A scratch copy of the project's values, and `waybill` run in it as people run it."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    """What this cluster needs, and what a test sets: laid over the committed values of dev."""
    apart: dict[str, Any] = field(default_factory=dict)
    """Laid over all that where the environment is another."""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "waybill", *arguments, "--json"]
        command += ["--project", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, env=self.env)

    def waybill(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The result of a command; fails unless it exits with `code`."""
        done = self.run(*arguments)
        assert done.returncode == code, f"{arguments}: {done.stderr}\n{done.stdout}"
        said = printed(done.stdout)
        return {"stderr": done.stderr, **said.get("result", said)}

    def install(
        self, environment: str, *flags: str, chart: Path = CHART, code: int = 0
    ) -> dict[str, Any]:
        return self.release("install", environment, *flags, chart=chart, code=code)

    def release(
        self, command: str, environment: str, *flags: str, chart: Path = CHART, code: int = 0
    ) -> dict[str, Any]:
        """install, render or doctor with a chart and the values as they are now."""
        values = self.values if environment == "dev" else overlay(self.values, self.apart)
        more = self.folder / f"more-{environment}.yaml"
        more.write_text(yaml.safe_dump(values))
        where = ("--chart", str(chart), "--values", str(more))
        return self.waybill(command, environment, *where, *flags, code=code)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "WAYBILL_HELM": needs("WAYBILL_TEST_HELM4"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials"),
            "AWS_CONFIG_FILE": "/dev/null",
        }

    def reaches(self, kube: Kube, environment: str) -> None:
        """Name the environment's object store, and credentials for it."""
        namespace = NAMESPACES[environment]
        path = self.folder / "values/environments.yaml"
        known = yaml.safe_load(path.read_text())
        address = f"http://{kube.address(namespace, f'{RELEASE}-minio')}:9000"
        known["environments"][environment] |= {
            "endpoint": address,
            "profile": f"{environment}-promote",
        }
        path.write_text(yaml.safe_dump(known, sort_keys=False))
        with (self.folder / "credentials").open("a") as profiles:
            for user in USERS:
                keys = kube.secret(namespace, f"{RELEASE}-objectstore-{user}")
                profiles.write(f"[{environment}-{user}]\n")
                profiles.writelines(f"{name.lower()} = {keys[name]}\n" for name in keys)

    def loading(self, environment: str) -> tuple[str, ...]:
        """Options of `sideload` into the environment's store, with the keys that are for that."""
        known = yaml.safe_load((self.folder / "values/environments.yaml").read_text())
        to = known["environments"][environment]
        reached = ("--endpoint", to["endpoint"], "--profile", f"{environment}-sideload")
        return ("--to", to["store"], *reached)


@pytest.fixture(scope="session")
def kube() -> Kube:
    needs("KUBECONFIG")
    return Kube()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, kube: Kube) -> Iterator[Project]:
    """A new one; or the one that WAYBILL_TEST_PROJECT names, to go on with a kept cluster."""
    here = Path(__file__).parent
    apart = yaml.safe_load((here / "values-test.yaml").read_text())
    if kept := os.environ.get("WAYBILL_TEST_PROJECT"):
        values = yaml.safe_load((Path(kept) / "more-dev.yaml").read_text())
        yield Project(Path(kept), values, apart)
        return
    folder = tmp_path_factory.mktemp("project")
    (folder / "values").mkdir()
    environments = {
        name: {"store": "s3://waybill", "namespace": namespace, "release": RELEASE}
        for name, namespace in NAMESPACES.items()
    }
    for name, namespace in NAMESPACES.items():
        (folder / f"values/{name}.yaml").write_text((ROOT / f"values/{name}.yaml").read_text())
        kube.make_namespace(namespace)
        kube.apply(engine_volume(namespace))
    text = yaml.safe_dump({"environments": environments}, sort_keys=False)
    (folder / "values/environments.yaml").write_text(text)
    yield Project(folder, yaml.safe_load((here / "values.yaml").read_text()), apart)


@pytest.fixture(scope="session")
def dev_store(project: Project, kube: Kube) -> None:
    """Once dev is installed: its store, as this machine reaches it."""
    project.reaches(kube, "dev")


@pytest.fixture(scope="session")
def chat_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two versions of one chat model."""
    folder = tmp_path_factory.mktemp("chat")
    made = [folder / str(seed) for seed in (1, 2)]
    maker = Path(__file__).parent / "make_chat_model.py"
    command = [needs("WAYBILL_TEST_VLLM"), str(maker), *map(str, made)]
    subprocess.run(command, check=True, capture_output=True)
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
        return self.post("/v1/chat/completions", self.asking(model, text)["json"])

    def asking(self, model: str, text: str) -> dict[str, Any]:
        """The request of a short chat, as an HTTP client takes it."""
        messages = [{"role": "user", "content": text}]
        return {
            "method": "POST",
            "url": f"{self.url}/v1/chat/completions",
            "json": {"model": model, "messages": messages, "max_tokens": 4},
            "headers": {"authorization": f"Bearer {self.token}"},
        }


def gateway(kube: Kube, namespace: str, release: str = RELEASE) -> Gateway:
    """With a token that Keycloak gives the gateway's client; valid for some minutes."""
    request = sign_in(kube, namespace, release)
    with httpx.Client(trust_env=False, timeout=30) as client:
        token = client.request(**request).raise_for_status().json()["access_token"]
    return Gateway(f"http://{kube.address(namespace, f'{release}-gateway')}:8080", token)


def sign_in(kube: Kube, namespace: str, release: str = RELEASE) -> dict[str, Any]:
    """The request that Keycloak answers with a token of the gateway's client."""
    url = f"http://{kube.address(namespace, f'{release}-keycloak')}:8080"
    client = kube.secret(namespace, f"{release}-oidc-gateway")
    return {
        "method": "POST",
        "url": f"{url}/realms/waybill/protocol/openid-connect/token",
        "data": {"grant_type": "client_credentials"},
        "auth": (client["clientId"], client["clientSecret"]),
    }


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
