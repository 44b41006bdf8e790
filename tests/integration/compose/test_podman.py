"""The services of a staging environment as real containers, up to weights that come by the hub."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.compose.containers import OUTSIDE, Room, room
from tests.services import needs

pytestmark = pytest.mark.timeout(900)
REPO = Path(__file__).resolve().parents[3]
WAYBILL = REPO / ".venv/bin/waybill"
MINIO = "http://waybill-minio.waybill.svc:9000/minio/health/live"
STORE = "http://127.0.0.1:9000"
VALUES = {
    "global": {
        "imageRegistry": "waybill.local",
        "models": {"chat": {"enabled": True, "profile": "cpu"}},
    },
    "keycloak": {"enabled": False},
    "gateway": {"auth": {"enabled": False}},
}
SERVERS = ("minio", "model-hub", "gateway")


@dataclass(frozen=True)
class Staging:
    """What runs: `services` as compose.yaml has them, `pulled` the folder of the weights."""

    room: Room
    services: dict[str, Any]
    pulled: Path

    @property
    def pull(self) -> str:
        return next(name for name in self.services if name.endswith("-pull"))


def override(commit: str = "") -> str:
    """The page's own file; there is no engine before there is a commit."""
    section = (REPO / "tools/docs/compose.md").read_text().partition("## Podman\n")[2]
    found = re.search(r"^```yaml\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found
    lines = found[1].splitlines(keepends=True)
    kept = "".join(line for line in lines if commit or "vllm" not in line)
    return kept.replace("XXXXXXXX", commit[:8])


def carried(found: Room, project: Path, model: Path) -> str:
    """Sideload and pin, with the keys that the project made; the commit."""
    keys = project / "out/secrets/waybill-objectstore-promote"
    (project / "credentials").write_text(
        f"[staging]\naws_access_key_id = {(keys / 'AWS_ACCESS_KEY_ID').read_text()}\n"
        f"aws_secret_access_key = {(keys / 'AWS_SECRET_ACCESS_KEY').read_text()}\n"
    )
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(project / "credentials")}
    found.run(WAYBILL, "pack", model, "--as", "acme/minilm", "--out", "bundle", cwd=project)
    sideload = (WAYBILL, "sideload", "bundle", "--to", "staging", "--json")
    told = json.loads(found.run(*sideload, cwd=project, env=env).stdout)
    commit: str = told["result"]["revisions"][0]["commit"]
    pin = (WAYBILL, "pin", "staging", "chat", f"acme/minilm@{commit}", "--why", "first")
    found.run(*pin, cwd=project, env=env)
    return commit


def rendered(found: Room, project: Path, commit: str = "") -> dict[str, Any]:
    """The services that `waybill compose` writes."""
    doors = ("--publish", "gateway=127.0.0.1:8080", "--publish", "minio=127.0.0.1:9000")
    write = (WAYBILL, "compose", "staging", "--out", "out", "--chart", REPO / "charts/waybill")
    found.run(*write, *doors, cwd=project, env={"WAYBILL_HELM": needs("WAYBILL_TEST_HELM4")})
    (project / "out/podman.yaml").write_text(override(commit))
    services: dict[str, Any] = yaml.safe_load((project / "out/compose.yaml").read_text())[
        "services"
    ]
    return services


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Iterator[Staging]:
    project = tmp_path_factory.mktemp("staging")
    (project / "values").mkdir()
    environment = {"store": "s3://waybill", "endpoint": STORE, "profile": "staging"}
    content = json.dumps({"environments": {"staging": environment}})
    (project / "values/environments.yaml").write_text(content)
    (project / "values/staging.yaml").write_text(json.dumps(VALUES))
    with room(needs("WAYBILL_TEST_PODMAN"), tmp_path_factory.mktemp("room")) as found:
        for archive in needs("WAYBILL_TEST_IMAGES").split("\n"):
            found.podman("load", "--quiet", "--input", archive)
        rendered(found, project)
        found.up(project / "out", "minio", "minio-provision-provision", "minio-provision")
        commit = carried(found, project, minilm)
        services = rendered(found, project, commit)
        found.up(project / "out", "model-hub", "gateway")
        found.await_health("model-hub", "gateway")
        found.up(project / "out", f"vllm-chat-{commit[:8]}-pull")
        (pulled,) = (project / "out/data/models").glob(f"*/*/{commit}")
        yield Staging(found, services, pulled)


def test_the_gateway_answers_at_the_published_port(staging: Staging) -> None:
    answered = json.loads(staging.room.get("http://127.0.0.1:8080/v1/models"))
    assert [each["id"] for each in answered["data"]] == ["chat"]


def test_weights_come_from_minio_by_the_hub(staging: Staging, minilm: Path) -> None:
    name = "model.safetensors"
    assert (staging.pulled / name).read_bytes() == (minilm / name).read_bytes()
    assert (staging.pulled / name).stat().st_uid == 65532


@pytest.mark.parametrize("name", SERVERS)
def test_a_service_has_no_rights_but_its_users(staging: Staging, name: str) -> None:
    told = staging.room.status(name)
    assert set(told["Uid"].split()) == {"65532"}
    assert "65532" in told["Groups"].split()
    assert {int(told[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("name", SERVERS)
def test_a_service_writes_only_where_it_is_told_to(staging: Staging, name: str) -> None:
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
    assert not staging.room.reaches("model-hub", outside)
