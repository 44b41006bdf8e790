"""A staging environment as real containers, up to an answered chat and a new version."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.images import chart_names
from tests.integration.compose.containers import OUTSIDE, Room, room
from tests.pages import DOCS, REPO, blocks
from tests.printed import result
from tests.services import needs

pytestmark = pytest.mark.timeout(900)
WAYBILL = REPO / ".venv/bin/waybill"
MINIO = "http://waybill-minio.waybill.svc:9000/minio/health/live"
STORE = "http://127.0.0.1:9000"
VALUES = {
    "global": {
        "imageRegistry": "waybill.local",
        "models": {"chat": {"enabled": True, "profile": "cpu"}},
        "profiles": {
            "cpu": {
                "resources": {"limits": {"memory": "5Gi"}},
                "shmSize": "256Mi",
                "env": {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
                "engineArgs": {"enforce-eager": True, "max-model-len": 256, "max-num-seqs": 8},
            }
        },
    },
    "keycloak": {"enabled": False},
    "gateway": {"auth": {"enabled": False}},
    "modelHub": {"auth": {"enabled": False}},
}
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "where to"}], "max_tokens": 4}
SERVERS = ("minio", "model-hub", "gateway", "vllm-chat")


@dataclass
class Staging:
    """What runs: `services` as compose.yaml has them, `pulled` the folder of the weights."""

    room: Room
    project: Path
    services: dict[str, Any]
    commit: str

    def named(self, server: str) -> str:
        """The service; engines are called by their revisions, too."""
        return f"{server}-{self.commit[:8]}" if server.startswith("vllm") else server

    @property
    def pulled(self) -> Path:
        (found,) = (self.project / "out/data/models").glob(f"*/*/{self.commit}")
        return found

    def asked(self) -> str:
        """The commit that answered a chat; nothing where none did."""
        answer = self.room.post("http://127.0.0.1:8080/v1/chat/completions", CHAT)
        if answer["status"] != 200:
            return ""
        assert json.loads(answer["body"])["choices"][0]["message"]["role"] == "assistant"
        commit: str = answer["headers"]["x-waybill-model-revision"]
        return commit

    def serve(self, commit: str) -> None:
        """The weights, then the engine, which answers once it is healthy."""
        engine = f"vllm-chat-{commit[:8]}"
        self.room.up(self.project / "out", f"{engine}-pull", engine)
        self.room.await_health(engine, seconds=240)


def override(*commits: str) -> str:
    """The page's own file, for each engine; its environment is mounted, as no image holds it."""
    own, *_ = blocks((DOCS / "compose.md").read_text(), "Podman", ("yaml",))
    content = own.splitlines(keepends=True)
    (engine,) = (line for line in content if "vllm" in line)
    environment = Path(needs("WAYBILL_TEST_VLLM")).parents[1]
    mounted = engine.rstrip().removesuffix("}") + f", volumes: ['{environment}:/opt/vllm:ro']}}\n"
    at = content.index(engine)
    content[at : at + 1] = [mounted.replace("XXXXXXXX", commit[:8]) for commit in commits]
    return "".join(content)


def carried(found: Room, project: Path, model: Path) -> str:
    """Sideload and pin, with the keys that the project made; the commit."""
    bundle = f"bundle-{model.name}"
    keys = project / "out/secrets/waybill-objectstore-promote"
    (project / "credentials").write_text(
        f"[staging]\naws_access_key_id = {(keys / 'AWS_ACCESS_KEY_ID').read_text()}\n"
        f"aws_secret_access_key = {(keys / 'AWS_SECRET_ACCESS_KEY').read_text()}\n"
    )
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(project / "credentials")}
    found.run(WAYBILL, "pack", model, "--as", "acme/chat", "--out", bundle, cwd=project)
    sideload = (WAYBILL, "sideload", bundle, "--to", "staging", "--json")
    told = result(found.run(*sideload, cwd=project, env=env).stdout)
    commit: str = told["revisions"][0]["commit"]
    pin = (WAYBILL, "pin", "staging", "chat", f"acme/chat@{commit}", "--why", "tried")
    found.run(*pin, cwd=project, env=env)
    return commit


def rendered(found: Room, project: Path, *commits: str) -> dict[str, Any]:
    """The services that `waybill compose` writes."""
    doors = ("--publish", "gateway=127.0.0.1:8080", "--publish", "minio=127.0.0.1:9000")
    write = (WAYBILL, "compose", "staging", "--out", "out", "--chart", REPO / "charts/waybill")
    found.run(*write, *doors, cwd=project, env={"WAYBILL_HELM": needs("WAYBILL_TEST_HELM4")})
    (project / "out/podman.yaml").write_text(override(*commits))
    services: dict[str, Any] = yaml.safe_load((project / "out/compose.yaml").read_text())[
        "services"
    ]
    return services


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of one chat model."""
    folder = tmp_path_factory.mktemp("chat")
    made = [folder / "1", folder / "2"]
    maker = REPO / "tests/e2e/make_chat_model.py"
    subprocess.run([needs("WAYBILL_TEST_VLLM"), maker, *made], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory, versions: list[Path]) -> Iterator[Staging]:
    project = tmp_path_factory.mktemp("staging")
    (project / "values").mkdir()
    environment = {"store": "s3://waybill", "endpoint": STORE, "profile": "staging"}
    content = json.dumps({"environments": {"staging": environment}})
    (project / "values/environments.yaml").write_text(content)
    (project / "values/staging.yaml").write_text(json.dumps(VALUES))
    with room(needs("WAYBILL_TEST_PODMAN"), tmp_path_factory.mktemp("room")) as found:
        # Nothing is pinned yet that would run it.
        (engine,) = (name for name in chart_names() if "vllm-openai-cpu" in name)
        found.bring(project, engine, "--env=staging")
        rendered(found, project)
        found.up(project / "out", "minio", "minio-provision-provision", "minio-provision")
        commit = carried(found, project, versions[0])
        services = rendered(found, project, commit)
        found.up(project / "out", "model-hub", "gateway")
        found.await_health("model-hub", "gateway")
        begun = Staging(found, project, services, commit)
        begun.serve(commit)
        yield begun


def test_the_gateway_answers_at_the_published_port(staging: Staging) -> None:
    answered = json.loads(staging.room.get("http://127.0.0.1:8080/v1/models"))
    assert [each["id"] for each in answered["data"]] == ["chat"]


def test_a_chat_is_answered(staging: Staging) -> None:
    until(lambda: staging.asked() == staging.commit)


def test_weights_come_from_minio_by_the_hub(staging: Staging, versions: list[Path]) -> None:
    name = "model.safetensors"
    assert (staging.pulled / name).read_bytes() == (versions[0] / name).read_bytes()
    assert (staging.pulled / name).stat().st_uid == 65532


@pytest.mark.parametrize("name", SERVERS)
def test_a_service_has_no_rights_but_its_users(staging: Staging, name: str) -> None:
    told = staging.room.status(staging.named(name))
    assert set(told["Uid"].split()) == {"65532"}
    assert "65532" in told["Groups"].split()
    assert {int(told[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("name", SERVERS)
def test_a_service_writes_only_where_it_is_told_to(staging: Staging, name: str) -> None:
    name = staging.named(name)
    service, mounts = staging.services[name], staging.room.mounts(name)
    assert "ro" in mounts["/"][1]
    for volume in service.get("volumes", ()):
        assert ("ro" if volume.get("read_only") else "rw") in mounts[volume["target"]][1]
    for entry in service.get("tmpfs", ()):
        at, _, options = entry.partition(":")
        kind, found = mounts[at]
        assert kind == "tmpfs"
        assert {"rw", "nosuid", "nodev"} <= found
        assert ("noexec" in found) is ("exec" not in options.split(","))


@pytest.mark.parametrize("name", SERVERS)
def test_a_service_is_held_to_its_memory(staging: Staging, name: str) -> None:
    name = staging.named(name)
    limit = staging.services[name]["deploy"]["resources"]["limits"]["memory"]
    assert staging.room.memory(name) == int(limit.removesuffix("m")) * 1024**2


def test_only_who_may_ask_a_server_finds_its_name(staging: Staging) -> None:
    assert staging.room.reaches("model-hub", MINIO)
    assert not staging.room.reaches("gateway", MINIO)


def test_nothing_leaves_an_internal_network(staging: Staging) -> None:
    outside = f"http://{OUTSIDE}/"
    assert staging.room.get(outside)
    # Podman masquerades what the network of a published service sends: the page says so.
    assert staging.room.reaches("gateway", outside)
    for name in ("model-hub", staging.named("vllm-chat")):
        assert not staging.room.reaches(name, outside)


def test_a_new_version_comes_into_what_runs_and_goes_again(
    staging: Staging, versions: list[Path]
) -> None:
    """Last, as it changes what runs: no service is begun anew, and the gateway takes its routes."""
    old, before = staging.commit, staging.room.process("gateway")
    new = carried(staging.room, staging.project, versions[1])
    rendered(staging.room, staging.project, old, new)
    staging.serve(new)
    until(lambda: staging.asked() == new)
    back = ("rollback", "staging", "chat", "--why", "worse")
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(staging.project / "credentials")}
    staging.room.run(WAYBILL, *back, cwd=staging.project, env=env)
    rendered(staging.room, staging.project, old, new)
    until(lambda: staging.asked() == old)
    assert staging.room.process("gateway") == before


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.5)
