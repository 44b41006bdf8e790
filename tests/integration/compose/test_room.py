"""From `hf download` to an answered chat, as the page says, with the services that it writes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.images import archive, of_the_chart
from tests.integration.compose.host import host
from tests.pages import CARRIED, DOCS, REPO, blocks, shell
from tests.printed import result
from tests.services import free_port, needs, running
from waybill.cli.main import main

MODEL = "Qwen/Qwen3-0.6B"
CHART = str(REPO / "charts/waybill")
FETCH = f"hf download {MODEL} --local-dir newer"
NEWER = "waybill.local/waybill/waybill:0.2.0"
TOOLS = ("PATH=~/bin:$PATH",)
"""Docker's stand-in comes first."""
ENGINE = """global:
  profiles:
    cpu:
      command: [vllm-python, -m, vllm.entrypoints.openai.api_server]
      engineArgs: {gpu-memory-utilization: 0.1}
      env: {VLLM_CPU_KVCACHE_SPACE: "1"}
"""
"""The engine as the tests have it."""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def huggingface(tmp_path: Path) -> Iterator[str]:
    """A server with a small chat model under the name that the page fetches."""
    model, store = tmp_path / "made", f"file://{tmp_path}/upstream"
    maker = [needs("WAYBILL_TEST_VLLM"), str(REPO / "tests/e2e/make_chat_model.py"), str(model)]
    subprocess.run(maker, check=True, capture_output=True)
    bundle = str(tmp_path / "upstream-bundle")
    assert main(["pack", str(model), "--as", MODEL, "--out", bundle]) == 0
    assert main(["store", "init", store]) == 0
    assert main(["sideload", bundle, "--to", store]) == 0
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "waybill", "hub", "--store", store, "--port", url[17:]]
    with running(command, {}, tmp_path / "upstream.log", f"{url}/readyz", 30):
        yield url


def script(part: str, port: int) -> str:
    """The blocks of a part of the page that are commands."""
    found = blocks(part, languages=("", "sh"))
    assert found
    return re.sub(r"\b8080\b", str(port), "\n".join(found)).replace("global:\n", ENGINE)


def without(text: str, *sections: str) -> str:
    """What needs a cluster is left out: of these sections the blocks that are not `sh`."""
    flags = re.DOTALL | re.MULTILINE

    def runnable(section: re.Match[str]) -> str:
        return re.sub(
            r"^```(\w*)\n.*?^```$", lambda b: b[0] if b[1] else "", section[0], flags=flags
        )

    for name in sections:
        text, found = re.subn(rf"^## {name}$.*?(?=^## )", runnable, text, flags=flags)
        assert found, name
    return text


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """Stands in for Docker: what it was asked, line by line. It keeps what it was given to load.

    Images are small ones under the right names, in the archives that the pages name.
    """
    program, log = tmp_path / "bin/docker", tmp_path / "docker.log"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {log}\n[ "$1" != load ] || exec cat > {tmp_path}/loaded.tar\n'
    )
    program.chmod(0o755)
    for project in ("carry/project", "outside/project"):
        (tmp_path / project).mkdir(parents=True)
        archive(tmp_path / project / "waybill.tar", of_the_chart())
        shutil.copy(tmp_path / project / "waybill.tar", tmp_path / project / "minio.tar")
    return log


def loaded(tmp_path: Path) -> set[str]:
    """Names of the images that Docker was given."""
    with tarfile.open(tmp_path / "loaded.tar") as tar:
        images = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    return {name for one in images for name in one["RepoTags"]}


def prepared(text: str, tmp_path: Path, huggingface: str, port: int) -> None:
    """Run the commands of a part of a page."""
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    told = shell(
        tmp_path,
        script(text, port),
        PATH=path,
        HF_ENDPOINT=huggingface,
        HF_HUB_DISABLE_TELEMETRY="1",
    )
    assert "next: docker compose --project-directory compose up" in told


@pytest.mark.timeout(900)
def test_the_first_page_ends_with_an_answered_chat(
    tmp_path: Path, huggingface: str, docker: Path
) -> None:
    before, _, after = (DOCS / "closed-room.md").read_text().partition("## Ask it")
    before = without(before, "Inside, with Helm", "Inside, with Replicated")
    port = free_port()
    prepared(before, tmp_path, huggingface, port)
    up = "compose --project-directory compose up --detach --wait"
    assert docker.read_text().splitlines() == ["load", up]
    with host(tmp_path / "closed/compose") as room:
        engine, pull = sorted(name for name in room.services if name.startswith("vllm-"))
        assert set(room.services) == {"gateway", "model-hub", engine, pull}
        assert images_of(room.services) <= loaded(tmp_path)
        room.up()
        answered = shell(tmp_path, script(after.partition("## The next release")[0], port))
    assert '"role":"assistant"' in answered.replace(" ", "")
    the_next_release_comes_and_goes(tmp_path, re.sub(r"\b8080\b", str(port), after))


def the_next_release_comes_and_goes(home: Path, page: str) -> None:
    """Of model and Waybill, as the first page says it; the services' files tell what would run."""
    *outside, inside, back = blocks(page, "The next release", ("", "sh"))
    newer_clone(home)
    assert FETCH in outside[0]
    outside[0] = outside[0].replace(FETCH, "cp -r model newer; echo >> newer/README.md")
    begin = (*TOOLS, CARRIED.replace("$PWD", "~/clone"))
    told = shell(home, *begin, "{", *outside, "} >&2", "waybill inspect $media/newer-model --json")
    commit = result(told)["revisions"][0]["commit"]
    compose = home / "closed/compose/compose.yaml"
    before = services(compose)
    shell(home, *begin, inside.replace("<commit>", commit))
    after = services(compose)
    new = {f"vllm-chat-{commit[:8]}", f"vllm-chat-{commit[:8]}-pull"}
    assert after.keys() - before.keys() == new
    assert NEWER in images_of(after) <= loaded(home)
    shell(home, *begin, "cd ~/closed", back)
    assert {name: each for name, each in services(compose).items() if name not in new} == before
    assert NEWER not in images_of(services(compose))


def newer_clone(home: Path) -> None:
    """The next version of the chart, with another image of its own, and that beside the others."""
    charts = shutil.copytree(REPO / "charts", home / "clone/charts")
    for name in ("Chart.yaml", "values.yaml"):
        path = charts / "waybill" / name
        path.write_text(re.sub(r"(?m)^( *(version|tag)): 0\.1\.0$", r"\1: 0.2.0", path.read_text()))
    found = of_the_chart()
    found[NEWER] = found.pop(NEWER.replace("0.2.0", "0.1.0"))
    archive(home / "carry/project/waybill.tar", found)


@pytest.mark.timeout(600)
def test_the_page_on_one_host_ends_with_a_gateway_and_weights(
    tmp_path: Path, huggingface: str, docker: Path
) -> None:
    before, _, after = (DOCS / "compose.md").read_text().partition("## 6. Ask it")
    port = free_port()
    prepared(before, tmp_path, huggingface, port)
    assert [line.split()[0] for line in docker.read_text().splitlines()] == [
        "compose",
        "load",
        "compose",
        "compose",
    ]
    with host(tmp_path / "room/compose") as room:
        assert images_of(room.services) <= loaded(tmp_path)
        (pull,) = (name for name in room.services if name.endswith("-pull"))
        room.up("gateway", pull)
        assert "0 files fetched" in room.said(pull), "they were brought before"
        ask = blocks(after)[0].replace("8080", str(port))
        answered = shell(tmp_path, ask)
    assert '"id":"chat"' in answered.replace(" ", "")
    (weights,) = (tmp_path / "room/compose/data/models").rglob("model.safetensors")
    assert weights.read_bytes() == (tmp_path / "outside/model/model.safetensors").read_bytes()
    a_new_version_comes_and_goes(tmp_path, after.replace("8080", str(port)))


def a_new_version_comes_and_goes(home: Path, page: str) -> None:
    """As the end of the page on one host says it; only the medium is elsewhere."""
    shutil.copytree(home / "outside/model", home / "newer")
    (home / "newer/README.md").write_text("---\nlicense: mit\n---\n# Newer\n")
    page = page.replace("/media/disk", "~/disk")
    pack, new = blocks(page, "A new version, and the way back", ("", "sh"))
    assert FETCH in pack
    pack = pack.replace(FETCH, "mv ~/newer newer")
    told = shell(home, "{", pack, "} >&2", "waybill inspect ~/disk --json")
    commit = result(told)["revisions"][0]["commit"]
    new = new.replace("<commit>", commit)
    *_, write, up = new.splitlines()
    compose = home / "room/compose/compose.yaml"
    before = services(compose)
    shell(home, *TOOLS, "cd ~/room", new)
    after = services(compose)
    assert after.keys() - before == {f"vllm-chat-{commit[:8]}", f"vllm-chat-{commit[:8]}-pull"}
    assert after.items() >= before.items(), "this profile keeps both"
    routed = routes(compose)
    with host(compose.parent) as room:
        room.up(pull := f"vllm-chat-{commit[:8]}-pull")
        assert " fetched" in room.said(pull)
    shell(home, *TOOLS, "cd ~/room", "waybill rollback room chat --why worse", write, up)
    assert services(compose) == after
    assert routes(compose) != routed
    with host(compose.parent) as room:
        (pull,) = (name for name in before if name.endswith("-pull"))
        room.up(pull)
        assert "0 files fetched" in room.said(pull), "the weights are there still"


def routes(compose: Path) -> dict[str, bytes]:
    """What the gateway is told."""
    config = compose.parent / "config"
    return {each.name: each.read_bytes() for each in config.rglob("*") if each.is_file()}


def images_of(services: dict[str, Any]) -> set[str]:
    return {each["image"] for each in services.values()}


def services(compose: Path) -> dict[str, Any]:
    """By name."""
    found: dict[str, Any] = yaml.safe_load(compose.read_text())["services"]
    return found


def test_minio_is_set_up_and_weights_come_by_the_hub(
    tmp_path: Path, minilm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door = free_port()
    values = tmp_path / "values"
    values.mkdir()
    endpoint = f"http://127.0.0.1:{door}"
    room = {"store": "s3://waybill", "endpoint": endpoint, "profile": "room"}
    (values / "environments.yaml").write_text(json.dumps({"environments": {"room": room}}))
    off = {"enabled": False}
    models = {"embed": {"enabled": True, "profile": "cpu"}}
    (values / "room.yaml").write_text(
        json.dumps({"global": {"models": models}, "keycloak": off, "gateway": {"auth": off}})
    )
    project = ("--project", str(tmp_path))
    doors = ("--publish", f"minio=127.0.0.1:{door}", "--publish", f"gateway={free_port()}")
    write = ["compose", "room", "--out", str(tmp_path / "out"), "--chart", CHART, *doors, *project]
    assert main(write) == 0
    bundle = str(tmp_path / "bundle")
    assert main(["pack", str(minilm), "--as", "acme/minilm", "--out", bundle]) == 0
    capsys.readouterr()
    with host(tmp_path / "out") as first:
        first.up("minio-provision", "gateway")
        keys = tmp_path / "out/secrets/waybill-objectstore-promote"
        (tmp_path / "credentials").write_text(
            f"[room]\naws_access_key_id = {(keys / 'AWS_ACCESS_KEY_ID').read_text()}\n"
            f"aws_secret_access_key = {(keys / 'AWS_SECRET_ACCESS_KEY').read_text()}\n"
        )
        assert main(["sideload", bundle, "--to", "room", "--json", *project]) == 0
        commit = result(capsys.readouterr().out)["revisions"][0]["commit"]
        pin = ["pin", "room", "embed", f"acme/minilm@{commit}", "--why", "first", *project]
        assert main(pin) == 0
    assert main(write) == 0
    with host(tmp_path / "out") as second:
        second.up(f"vllm-embed-{commit[:8]}-pull")
    (pulled,) = (tmp_path / "out/data/models").glob(f"*/*/{commit}")
    weights = "model.safetensors"
    assert (pulled / weights).read_bytes() == (minilm / weights).read_bytes()
