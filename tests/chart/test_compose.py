"""Compose files of real environments, read by the library that Docker Compose reads them with."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CASES, PINS, Render, containers, named, of_kind, workloads
from tests.printed import result
from tests.services import needs
from waybill.cli.main import main

REPO = Path(__file__).resolve().parents[2]
ONE_HOST = {
    "global": {"models": {"chat": {"enabled": True, "profile": "gpu"}}},
    "keycloak": {"enabled": False},
    "gateway": {"auth": {"enabled": False}},
}
"""No identity, one model."""
DATABASE = "secrets/keycloak-database/POSTGRES_"
GIVEN = {
    "test": ["config/site-ca/ca.crt"],
    "prod": ["config/site-ca/ca.crt", f"{DATABASE}USER", f"{DATABASE}PASSWORD"],
}
"""What people make."""


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))


def compose(environment: str, out: Path, *flags: str, project: Path = REPO) -> dict[str, Any]:
    """What `waybill compose` writes, as it stands in the file."""
    chart = ("--chart", str(REPO / "charts/waybill"), "--project", str(project))
    for name in GIVEN.get(environment, ()):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("given")
    assert main(["compose", environment, "--out", str(out), *chart, *flags]) == 0
    content: dict[str, Any] = yaml.safe_load((out / "compose.yaml").read_text())
    return content


def understood(out: Path) -> dict[str, Any]:
    """The same as Docker Compose understands it: schema, variables and what refers to what."""
    command = [needs("WAYBILL_TEST_COMPOSE"), "--format=json", "compose.yaml"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def room(tmp_path: Path, store: str = "s3://waybill") -> Path:
    """A project of one environment, pinned; its directory."""
    values = tmp_path / "project/values"
    (values / "pins").mkdir(parents=True)
    environments = {"environments": {"room": {"store": store}}}
    (values / "environments.yaml").write_text(json.dumps(environments))
    (values / "room.yaml").write_text(json.dumps(ONE_HOST))
    pins = yaml.safe_load(PINS.read_text())["global"]["pins"]
    del pins["chat"]["traffic"]["canary"]
    pins["chat"]["traffic"]["stable"]["weight"] = "100"
    (values / "pins/room.yaml").write_text(json.dumps({"global": {"pins": {"chat": pins["chat"]}}}))
    return tmp_path / "project"


@pytest.fixture(scope="module", params=["dev", "test", "prod"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with pins."""
    out: Path = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
        flags = ("--values", str(REPO / PINS))
        compose(request.param, out, *flags)
    return out


def content(out: Path) -> dict[str, Any]:
    written: dict[str, Any] = yaml.safe_load((out / "compose.yaml").read_text())
    return written


def test_docker_compose_reads_it_as_it_was_meant(made: Path) -> None:
    read = understood(made)
    written = content(made)
    assert read["services"].keys() == written["services"].keys()
    for name, service in written["services"].items():
        said = read["services"][name]
        unescaped = json.loads(json.dumps(service).replace("$$", "$"))
        assert said["image"] == service["image"]
        assert said.get("command") == unescaped.get("command")
        assert set(said.get("depends_on", ())) == set(service.get("depends_on", ()))
        for variable, value in unescaped.get("environment", {}).items():
            assert said["environment"][variable] == value


def test_secrets_are_in_files_alone(made: Path) -> None:
    text = (made / "compose.yaml").read_text()
    kept = [path for path in (made / "secrets").glob("*/*") if path.parent.name != "env"]
    # Those of 40 characters are the random ones; the rest are names.
    random = [value for path in kept if len(value := path.read_text()) == 40]
    assert random
    config = "".join(path.read_text() for path in (made / "config").glob("*/*"))
    assert not [value for value in random if value in text + config]
    (file,) = understood(made)["services"]["model-hub"]["env_file"]
    key = (made / "secrets/waybill-objectstore-hub/AWS_SECRET_ACCESS_KEY").read_text()
    assert f"AWS_SECRET_ACCESS_KEY={key}\n" in Path(file["path"]).read_text()


def test_nothing_may_more_than_in_a_cluster(made: Path) -> None:
    for name, service in content(made)["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"] and "privileged" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "65532"
        assert service["deploy"]["resources"]["limits"]["memory"]


def test_no_network_leads_out_and_only_the_gateway_is_published(made: Path) -> None:
    written = content(made)
    open_ = {name for name, each in written["networks"].items() if not each.get("internal")}
    # prod's Keycloak asks a database outside of the release.
    abroad = {"outside"} if "database" in str(list((made / "secrets").iterdir())) else set()
    assert open_ == {"published-gateway"} | abroad
    for name, service in written["services"].items():
        assert ("ports" in service) is (name == "gateway")
        assert ("published-gateway" in service.get("networks", {})) is (name == "gateway")
        assert service.get("networks") or service["network_mode"] == "none"
    (port,) = written["services"]["gateway"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8080", 8080)


def test_somebody_waits_for_whatever_ends(made: Path) -> None:
    services = content(made)["services"]
    once = {name for name, each in services.items() if each["restart"] == "on-failure"}
    done = "service_completed_successfully"
    awaited = {
        name
        for each in services.values()
        for name, how in each.get("depends_on", {}).items()
        if how["condition"] == done
    }
    assert once and once == awaited


def test_every_host_that_is_named_answers_on_a_network_that_is_shared(made: Path) -> None:
    services = content(made)["services"]
    answers: dict[str, set[str]] = {}
    for service in services.values():
        for network, joined in (service.get("networks") or {}).items():
            for alias in (joined or {}).get("aliases", ()):
                answers.setdefault(alias, set()).add(network)
    for name, service in services.items():
        told = json.dumps([service.get("environment", {}), service.get("command", [])])
        if name == "gateway":
            told += "".join(path.read_text() for path in (made / "config").glob("*gateway*/*.yaml"))
        for host in set(re.findall(r"[\w-]+\.waybill\.svc", told)):
            own = service["networks"]
            asks = host not in json.dumps(own) and "KC_HOSTNAME" not in told
            assert not asks or answers[host] & own.keys(), f"{name} does not reach {host}"


def test_the_gateway_is_configured_as_in_a_cluster(render: Render, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compose("dev", out, "--values", str(REPO / PINS))
    for name in ("waybill-gateway", "waybill-gateway-routes"):
        objects = render(*CASES["dev"], release="waybill", namespace="waybill")
        for key, text in named(objects, "ConfigMap", name)["data"].items():
            assert (out / "config" / name / key).read_text() == text


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for out in (tmp_path / "one", tmp_path / "two"):
        compose("dev", out, "--values", str(REPO / PINS))
        files = [*sorted(out.glob("config/*/*")), out / "compose.yaml"]
        texts.append({str(path.relative_to(out)): path.read_bytes() for path in files})
    assert texts[0] == texts[1]


def test_a_store_in_a_directory_needs_no_server(tmp_path: Path) -> None:
    out = tmp_path / "out"
    project = room(tmp_path, f"file://{tmp_path}/models")
    services = compose("room", out, project=project)["services"]
    assert set(services) == {"gateway", "model-hub"} | {
        name for name in services if name.startswith("vllm-chat-")
    }
    hub = services["model-hub"]
    assert hub["environment"]["WAYBILL_HUB_STORE"] == "file:///store"
    assert hub["environment"]["WAYBILL_HUB_DELIVERY"] == "proxy"
    assert [each["source"] for each in hub["volumes"]] == [f"{tmp_path}/models"]
    assert "env_file" not in hub and hub["networks"].keys() == {"model-hub"}
    assert not (out / "secrets").exists()
    understood(out)


def test_engines_have_gpus_shared_memory_and_weights(tmp_path: Path) -> None:
    out = tmp_path / "out"
    services = compose("room", out, "--gpus", "GPU-a,GPU-b", project=room(tmp_path))["services"]
    engine = services["vllm-chat-11111111"]
    (device,) = engine["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["GPU-a"], "capabilities": ["gpu"]}
    assert (engine["ipc"], engine["shm_size"]) == ("private", "2048m")
    assert engine["networks"].keys() == {"vllm"}, "serving, it asks nobody"
    first = services["vllm-chat-11111111-pull"]
    weights = [service["volumes"][0]["source"] for service in (engine, first)]
    assert weights == ["./data/models"] * 2
    read = understood(out)["services"]["vllm-chat-11111111"]
    assert read["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["GPU-a"]


def test_too_few_gpus_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--chart", str(REPO / "charts/waybill"), "--project", str(room(tmp_path)))
    values = tmp_path / "two.yaml"
    values.write_text(json.dumps({"global": {"models": {"chat": {"replicas": 2}}}}))
    flags = ("--values", str(values), "--gpus", "0")
    assert main(["compose", "room", "--out", str(tmp_path / "out"), *where, *flags]) == 2
    assert "need 2 GPUs, and --gpus names 0" in capsys.readouterr().err


def test_other_doors_are_opened_by_name(tmp_path: Path) -> None:
    flags = ("--publish", "gateway=443", "--publish", "minio=127.0.0.1:9000")
    out = tmp_path / "out"
    services = compose("room", out, *flags, project=room(tmp_path))["services"]
    ports = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert ports == {
        "gateway": [{"target": 8080, "published": "443", "protocol": "tcp"}],
        "minio": [{"target": 9000, "published": "9000", "protocol": "tcp", "host_ip": "127.0.0.1"}],
    }
    shared = set(services["gateway"]["networks"]) & set(services["minio"]["networks"])
    assert not shared, "a published port brings nobody together who may not talk"
    understood(out)


def test_a_door_to_nowhere_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--chart", str(REPO / "charts/waybill"), "--project", str(room(tmp_path)))
    flags = ("--out", str(tmp_path / "out"), "--publish", "keycloak=443")
    assert main(["compose", "room", *where, *flags]) == 2
    told = capsys.readouterr().err
    assert "nothing answers there; choose from: " in told and "gateway" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model-hub", "vllm-chat-11111111"])
def test_what_asks_for_no_token_answers_this_host_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--chart", str(REPO / "charts/waybill"), "--project", str(room(tmp_path)))
    write = ["compose", "room", *where, "--out", str(tmp_path / "out"), "--publish"]
    for place in ("8081", "192.0.2.1:8081", "[2001:db8::1]:8081"):
        assert main([*write, f"{name}={place}"]) == 2
        assert "asks for no token" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*write, f"{name}=127.0.0.1:8081"]) == 0
    assert content(tmp_path / "out")["services"][name]["ports"][0]["host_ip"] == "127.0.0.1"


def test_what_watches_a_cluster_is_left_out(tmp_path: Path) -> None:
    values = tmp_path / "drift.yaml"
    values.write_text(json.dumps({"drift": {"enabled": True}}))
    flags, project = ("--values", str(values)), room(tmp_path)
    found = compose("room", tmp_path / "out", *flags, project=project)["services"]
    assert found == compose("room", tmp_path / "without", project=project)["services"]


def test_what_compose_cannot_say_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--chart", str(REPO / "charts/waybill"), "--project", str(room(tmp_path)))
    values, nfs = tmp_path / "nfs.yaml", {"server": "nfs.internal", "path": "/models"}
    hub = {
        "extraVolumes": [{"name": "more", "nfs": nfs}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    values.write_text(json.dumps({"modelHub": hub}))
    write = ["compose", "room", *where, "--out", str(tmp_path / "out"), "--values", str(values)]
    assert main(write) == 2
    assert "model-hub asks for the volume more by nfs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_from_an_archive_are_never_pulled(tmp_path: Path) -> None:
    flags = ("--images", "archive")
    services = compose("room", tmp_path / "out", *flags, project=room(tmp_path))["services"]
    assert {service["pull_policy"] for service in services.values()} == {"never"}


def test_all_that_is_missing_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--project", str(REPO), "--chart", str(REPO / "charts/waybill"))
    assert main(["compose", "prod", "--out", str(tmp_path / "out"), *where]) == 2
    told = capsys.readouterr().err
    assert "config/site-ca" in told and "keycloak-database/POSTGRES_PASSWORD" in told
    assert not (tmp_path / "out").exists()


def test_the_report_names_services_and_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = room(tmp_path)
    compose("room", tmp_path / "out", project=project)
    capsys.readouterr()
    compose("room", tmp_path / "out", "--json", "--dry-run", project=project)
    told = result(capsys.readouterr().out)
    assert "gateway" in told["services"] and told["dryRun"]
    assert any(image.startswith("docker.io/envoyproxy/envoy:") for image in told["images"])
    assert told["changed"] == []


@pytest.mark.parametrize("case", CASES)
def test_a_service_answers_at_the_port_of_its_pods(render: Render, case: str) -> None:
    """An alias leads to a container, and turns no port into another."""
    objects = render(*CASES[case])
    ports = {
        (port["name"], port["containerPort"])
        for workload in workloads(objects)
        for one in containers(workload)
        for port in one.get("ports", ())
    }
    for service in of_kind(objects, "Service"):
        for port in service["spec"]["ports"]:
            assert (port["targetPort"], port["port"]) in ports
