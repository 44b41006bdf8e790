"""A real vLLM, and the transformers inside it, load a model that only the hub has."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.hub.conftest import Hub, hub_process, isolate_client
from tests.services import vllm
from tests.unit.hub import models
from waybill.store.connect import Access, connect
from waybill.store.layout import Ref, RepoId

MINILM = RepoId("sentence-transformers", "all-MiniLM-L6-v2")
UPSTREAM = "c" * 40


@pytest.fixture
def serving(
    request: pytest.FixtureRequest,
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hub]:
    """A hub that redirects to MinIO, with the model under an upstream commit."""
    in_bucket = request.getfixturevalue("in_bucket")
    endpoint = request.getfixturevalue("minio").endpoint
    store = connect(f"{in_bucket.url}-minilm", Access(endpoint=endpoint))
    store.init()
    files = {
        path.relative_to(minilm).as_posix(): path.read_bytes()
        for path in minilm.rglob("*")
        if path.is_file()
    }
    manifest = models.add(store, files, MINILM)
    store.add_alias(MINILM, UPSTREAM, manifest.commit)
    models.point(store, Ref("heads", "main"), manifest, MINILM)
    with hub_process(store.url, tmp_path, manifest, "--endpoint", endpoint) as hub:
        isolate_client(hub.url, tmp_path, monkeypatch)
        yield hub


def test_an_engine_loads_a_model_through_the_hub(serving: Hub, tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": serving.url, "HF_HUB_DISABLE_TELEMETRY": "1"}
    folder = tmp_path / "engine"
    folder.mkdir()
    options = ("--runner", "pooling")
    with vllm(str(MINILM), folder, *options, revision=UPSTREAM, env=env) as engine:
        answer = httpx.post(
            f"{engine.url}/v1/embeddings",
            json={"model": "model", "input": ["a cat", "a kitten", "a tax return"]},
            trust_env=False,
            timeout=60,
        )
    cat, kitten, tax = [entry["embedding"] for entry in answer.json()["data"]]
    assert similar(cat, kitten) > similar(cat, tax) + 0.2
    assert serving.lines(f"/{UPSTREAM}/model.safetensors 302 ")
    assert not serving.lines(r" 5\d\d \d+ B ")


def similar(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
