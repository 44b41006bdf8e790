"""The first page, inside with Helm, as it is written: from a medium to an answered chat."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT, Clock, engine_volume
from tests.e2e.kube import Kube, until
from tests.services import free_port, needs
from waybill.deliver.helm import overlay

SPACE = "waybill-page"
PAGE = (ROOT / "tools/docs/closed-room.md").read_text()
INSTALL = (ROOT / "tools/docs/install.md").read_text()


def blocks(page: str, section: str) -> list[str]:
    (found,) = re.findall(rf"^## {section}$(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```(?:sh)?\n(.*?)^```$", found, re.DOTALL | re.MULTILINE)


@pytest.fixture
def home(tmp_path: Path, kube: Kube, chat_models: list[Path]) -> Iterator[Path]:
    """Where the page begins, in a namespace that is gone afterwards."""
    kube.make_namespace(SPACE)
    kube.apply(engine_volume(SPACE))
    (tmp_path / "downloaded").symlink_to(chat_models[0])
    yield tmp_path
    kube.core.delete_namespace(SPACE)
    kube.core.delete_persistent_volume(f"vllm-environment-{SPACE}")
    until("it is gone", lambda: SPACE not in kube.namespaces(), 180)


def shell(home: Path, *commands: str) -> str:
    """What they print, in one shell; what goes on beside them ends with it."""
    path = [ROOT / ".venv/bin", needs("WAYBILL_TEST_KUBERNETES")]
    begin = (
        "set -euo pipefail; clone=$PWD; media=~/carry/media; trap 'jobs -p | xargs -r kill' EXIT"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    more = {
        "HOME": str(home),
        "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
        "WAYBILL_HELM": needs("WAYBILL_TEST_HELM4"),
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join([begin, *commands])],
        cwd=ROOT,
        env={**clean, **more},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def adapted(text: str, doors: dict[str, int]) -> str:
    """Ports that are free here, a namespace of its own, this cluster's images, a small model."""
    for port, door in doors.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{door}")
        text = re.sub(rf"^(kubectl .*) {port} &", rf"\1 {door}:{port} &", text, flags=re.M)
    known = {
        "hf download Qwen/Qwen3-0.6B --local-dir model": "cp -rL ~/downloaded model",
        "registry.example.internal": "waybill.local",
        "waybill-dev": "waybill-room",
        "--namespace waybill ": f"--namespace {SPACE} ",
        "namespace: waybill\n": f"namespace: {SPACE}\n",
    }
    for written, here in known.items():
        text = text.replace(written, here)
    return text


@pytest.mark.timeout(900)
def test_the_first_page_ends_with_an_answered_chat_on_a_cluster(home: Path) -> None:
    doors = {"9000": free_port(), "8080": free_port()}

    def commands(section: str, page: str = PAGE) -> list[str]:
        return [adapted(each, doors) for each in blocks(page, section)]

    pack, project, images, carry = commands("Outside")
    assert images.startswith("waybill images save")  # On the node already: nothing is fetched.
    shell(home, pack, project, carry)
    small(home / "carry/media/values/room.yaml")
    shell(home, *commands("The medium"))

    look, install, serve = commands("Inside, with Helm")
    push, _, rest = install.partition("\n")
    assert push.startswith("waybill images push")
    shell(home, look, rest)
    keys, _ = commands("Bring the first model", INSTALL)
    shell(home, keys)

    said = shell(home, "cd ~/inside", "waybill inspect $media/bundle --json")
    commit = re.search(r'"commit": ?"([0-9a-f]{40})"', said)
    assert commit
    ask = commands("Ask it")[0]
    with Clock("the first page's model, from a medium to a chat"):
        answer = shell(home, "cd ~/inside", serve.replace("<commit>", commit[1]), ask)
    assert '"role":"assistant"' in answer.replace(" ", "")


def small(path: Path) -> None:
    """What a cluster of one small node needs, below what the page says."""
    needed = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    needed["global"].pop("imageRegistry")
    path.write_text(yaml.safe_dump(overlay(needed, yaml.safe_load(path.read_text()))))
