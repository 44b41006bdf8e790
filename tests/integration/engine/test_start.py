"""What the chart renders starts the pinned vLLM, offline, on weights that came through a hub."""

import signal
from pathlib import Path

import httpx
import pytest

from tests.chart.rendering import NEWEST, files, helm_template, named, pod_spec
from tests.integration.bundle.conftest import Process
from tests.integration.hub.conftest import hub_process
from tests.services import free_port, needs, running
from tests.unit.bundle.bundles import new_store
from tests.unit.hub import models
from waybill.manifest import Manifest
from waybill.store.layout import RepoId

ENTRY = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
REPO = RepoId("acme", "embed")


def stored(store: Path, minilm: Path) -> Manifest:
    paths = (path for path in minilm.rglob("*") if path.is_file())
    contents = {path.relative_to(minilm).as_posix(): path.read_bytes() for path in paths}
    return models.add(new_store(store), contents, REPO)


def values_of(manifest: Manifest) -> dict[str, object]:
    revision = {
        "repo": str(REPO),
        "digest": manifest.descriptor.digest,
        "size": str(manifest.size),
        "provenance": "",
    }
    traffic = {"stable": {"commit": manifest.commit, "weight": "100"}}
    pin = {"revisions": {manifest.commit: revision}, "traffic": traffic}
    # The wheel for CPUs has no metadata by the name that its command `vllm` asks for.
    profiles = {"cpu": {"command": ENTRY}}
    # This model has a shorter context than that of dev: vLLM takes its own where nothing is said.
    embed = {"enabled": True, "engineArgs": {"max-model-len": None}}
    declared = {"chat": {"enabled": False}, "embed": embed}
    return {"global": {"pins": {"embed": pin}, "models": declared, "profiles": profiles}}


# One that is busy with other tests takes minutes to import torch, three times.
@pytest.mark.timeout(600)
def test_an_engine_of_dev_starts_with_what_its_init_container_brought(
    minilm: Path, tmp_path: Path
) -> None:
    manifest = stored(tmp_path / "store", minilm)
    paths = files(["values/dev.yaml", values_of(manifest)], tmp_path)
    objects = helm_template(paths, "t", "ns", 4, NEWEST)
    pod = pod_spec(named(objects, "Deployment", f"vllm-embed-{manifest.commit[:8]}"))
    (init,), (engine,) = pod["initContainers"], pod["containers"]
    out = tmp_path / "models" / manifest.commit
    with hub_process(str(tmp_path / "store"), tmp_path, manifest) as hub:
        given = dict(one.split("=", 1) for one in init["args"] if one.startswith("--"))
        assert given.keys() == {"--hub", "--digest", "--out"}
        given |= {"--hub": hub.url, "--out": str(out)}
        Process((*init["args"][:2], *(f"{key}={value}" for key, value in given.items()))).run()
    url = f"http://127.0.0.1:{(port := free_port())}"
    assert engine["args"][0].startswith("--model=")
    args = [f"--model={out}", *engine["args"][1:]]
    args[args.index("--port=8000")] = f"--port={port}"
    env = {one["name"]: one["value"].replace("/cache", str(tmp_path)) for one in engine["env"]}
    command = [needs("WAYBILL_TEST_VLLM"), *engine["command"][1:], *args]
    with running(command, env, tmp_path / "vllm.log", f"{url}/health", 480) as process:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            names = [one["id"] for one in client.get("/v1/models").json()["data"]]
            assert names == ["embed", f"embed@{manifest.commit[:8]}"]
            asked = {"model": names[1], "input": "a cat"}
            assert len(client.post("/v1/embeddings", json=asked).json()["data"]) == 1
        process.send_signal(signal.SIGTERM)
        process.wait(60)
