"""Real models: sideloaded into the cluster's MinIO, pinned, fetched through the hub, answering."""

import json
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import DEV, RELEASE, Clock, Project, gateway
from tests.e2e.kube import Kube, until
from tests.services import needs

CHAT = "demo/tiny-chat"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def pack_and_sideload(project: Project, source: Path, repo: str, folder: Path) -> str:
    """The commit that the store of dev has now."""
    project.waybill("pack", str(source), "--as", repo, "--out", str(folder))
    done = project.waybill("sideload", str(folder), *project.loading("dev"))
    return str(done["revisions"][0]["commit"])


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("dev_store")
def test_embeddings_answer_through_hub_and_gateway(
    project: Project, kube: Kube, tmp_path: Path
) -> None:
    commit = pack_and_sideload(project, Path(needs("WAYBILL_TEST_MODEL")), MINILM, tmp_path)
    project.waybill("pin", "dev", "minilm", f"{MINILM}@{commit}")
    project.values["global"]["models"]["minilm"] = {"enabled": True, "profile": "cpu"}
    with Clock("MiniLM pinned to ready"):
        project.install("dev", "--timeout", "600")
    door = gateway(kube, DEV)
    body = {"model": "minilm", "input": ["a ship at sea", "a boat on the water"]}
    answer = door.post("/v1/embeddings", body)
    assert answer.status_code == 200, answer.text
    assert [len(each["embedding"]) for each in answer.json()["data"]] == [384, 384]
    assert door.post("/v1/embeddings", body, token="").status_code == 401
    assert door.post("/v1/embeddings", {**body, "model": "other"}).status_code == 404
    hub = f"http://{kube.address(DEV, f'{RELEASE}-model-hub')}:8080"
    with httpx.Client(trust_env=False) as stranger:
        assert stranger.get(f"{hub}/api/models/{MINILM}/revision/{commit}").status_code == 401


@pytest.mark.timeout(900)
def test_chat_streams_when_embeddings_make_room(
    project: Project, kube: Kube, chat_models: list[Path], tmp_path: Path
) -> None:
    project.values["global"]["models"]["minilm"]["enabled"] = False
    with Clock("sideload of the chat model to its first token"):
        commit = pack_and_sideload(project, chat_models[0], CHAT, tmp_path)
        project.waybill("pin", "dev", "chat", f"{CHAT}@{commit}")
        project.values["global"]["models"]["chat"] = {
            "enabled": True,
            "profile": "cpu",
            "engineArgs": {"max-model-len": 256},
        }
        project.install("dev", "--timeout", "600")
        assert streamed(kube)
    until("the embeddings' engine has gone", lambda: not kube.engines(DEV, "minilm"), 120)


def streamed(kube: Kube) -> list[str]:
    """The pieces of a streamed answer; the last says that it is complete."""
    request = gateway(kube, DEV).asking("chat", "pack once")
    request["json"] |= {"stream": True, "stream_options": {"include_usage": True}}
    with (
        httpx.Client(trust_env=False, timeout=120) as client,
        client.stream(**request) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    usage = [json.loads(line)["usage"] for line in lines[:-1] if json.loads(line).get("usage")]
    assert usage[-1]["completion_tokens"] > 0
    return lines
