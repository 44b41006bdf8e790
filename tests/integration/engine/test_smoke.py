"""The smoke evaluation asks a real vLLM, which serves the pinned revision by its own name."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.printed import printed
from tests.services import free_port, needs, running
from tests.unit.release.world import REPO, World, new_world
from tests.unit.sign.making import ed25519_key, write_key
from waybill.cli.main import main
from waybill.release.evidence import gather
from waybill.sign.predicates import Outcome, Trial

ROOT = Path(__file__).resolve().parents[3]
# This question, for a model of random weights ends its answer to others before it begins.
QUESTIONS = """\
limits: {ttftSeconds: 200, seconds: 200}
questions:
  anything: {ask: "And where?", expect: ""}
  nonsense: {ask: "And where?", expect: "a random model does not say this"}
"""


class Smoke:
    def __init__(self, world: World, url: str, capfd: pytest.CaptureFixture[str]) -> None:
        self._world, self._url, self._capfd = world, url, capfd

    def __call__(self, key: Path, code: int) -> dict[str, Any]:
        self._capfd.readouterr()
        words = ["attest", "chat", "--env", "dev", "--name", "smoke", "--key", key]
        words += ["--smoke", self._url, "--json", "--project", self._world.project]
        found = main([str(word) for word in words])
        told, said = self._capfd.readouterr()
        assert found == code, said
        return {**printed(told), "said": said}


@pytest.mark.timeout(600)
def test_a_real_engine_is_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = needs("WAYBILL_TEST_VLLM")
    world = new_world(tmp_path / "project")
    commit = world.revision("dev", 1).commit
    world.pin("dev", commit)
    (world.project / "values/smoke.yaml").write_text(QUESTIONS)
    key = write_key(tmp_path / "key.pem", ed25519_key())
    model = tmp_path / "model"
    subprocess.run([python, str(ROOT / "tests/e2e/make_chat_model.py"), str(model)], check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [python, "-m", "vllm.entrypoints.openai.api_server", f"--model={model}"]
    command += [f"--port={port}", "--max-model-len=256", "--enforce-eager"]
    command += ["--served-model-name", "chat", f"chat@{commit[:8]}"]
    env = {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with running(command, env, tmp_path / "vllm.log", f"{url}/health", 480):
        smoke = Smoke(world, url, capfd)
        ran = smoke(key, 3)
        told = ran["result"]["predicate"]
        cases = told["passedTests"], told["failedTests"]
        assert cases == (["anything"], ["nonsense"]), ran["said"]
        assert 0 < told["measured"]["ttftSeconds"]["p50"] < 200
        # The engine says of itself that it serves another revision than the one that is pinned now.
        world.pin("dev", world.revision("dev", 2).commit)
        assert smoke(key, 1)["error"]["code"] == "OtherRevisionAnswers"
    found = [one.parsed for one in gather(world.store("dev"), REPO, commit, None)]
    (kept,) = [one for one in found if isinstance(one, Trial)]
    assert kept.result is Outcome.FAILED
