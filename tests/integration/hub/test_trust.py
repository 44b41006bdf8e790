"""A hub process with a trust policy, and what real clients are told."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import GatedRepoError

from tests.integration.hub.conftest import FILES, fill, hub_process, isolate_client
from tests.unit.hub.models import REPO
from tests.unit.sign.making import asking, signer
from waybill.sign.keys import Signer
from waybill.store import evidence
from waybill.store.store import Store


def trust(path: Path, made: Signer) -> Path:
    """The policy in its place, put there at once as Kubernetes does with a ConfigMap."""
    return asking(path.with_suffix(".new"), made).replace(path)


def download(url: str, folder: Path) -> bytes:
    found = hf_hub_download(str(REPO), "README.md", endpoint=url, cache_dir=folder)
    return Path(found).read_bytes()


def test_clients_are_told_why_and_signing_opens_the_way(
    in_directory: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled, made, other = fill(in_directory), signer("p256"), signer()
    isolate_client("http://127.0.0.1", tmp_path, monkeypatch)
    policy = trust(tmp_path / "trust.yaml", made)
    options = ("--trust", str(policy))
    with hub_process(in_directory.url, tmp_path, filled, *options) as hub:
        with pytest.raises(GatedRepoError, match=r"is not signed, and .* asks for a signature by"):
            download(hub.url, tmp_path / "cache")
        pull = ["-m", "waybill", "pull", f"{REPO}@{filled.commit}", "--hub", hub.url]
        command = [sys.executable, *pull, "--out", str(tmp_path / "out"), "--patience", "1"]
        told = subprocess.run(command, capture_output=True, text=True)
        assert told.returncode != 0
        assert "is not signed, and " in told.stderr, told.stderr
        assert not (tmp_path / "out/model.safetensors").exists()
        evidence.sign_provenance(in_directory, REPO, filled, made, "a test")
        assert download(hub.url, tmp_path / "cache") == FILES["README.md"]
        trust(policy, other)
        time.sleep(0.1)
        refused = hub.get(f"/{REPO}/resolve/{filled.commit}/README.md")
        assert (refused.status_code, other.key_id[:16] in refused.text) == (403, True)


def test_a_policy_that_cannot_be_used_keeps_the_hub_from_starting(
    in_directory: Store, tmp_path: Path
) -> None:
    (tmp_path / "trust.yaml").write_text("keys: {}\n")
    command = [sys.executable, "-m", "waybill", "hub", "--store", in_directory.url, "--port", "0"]
    told = subprocess.run(
        [*command, "--trust", str(tmp_path / "trust.yaml")], capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "the key 'default' is missing" in told.stderr
    assert "Traceback" not in told.stderr
