"""The first page, inside with Helm, as it is written: from a medium to an answered chat."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Clock, engine_volume
from tests.e2e.kube import Kube, until
from tests.images import archive, of_the_chart
from tests.pages import CARRIED, DOCS, blocks, shell
from tests.services import free_port, needs
from waybill.deliver.helm import overlay

SPACE = "waybill-page"
PAGE = (DOCS / "closed-room.md").read_text()
INSTALL = (DOCS / "install.md").read_text()


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


def run(home: Path, *commands: str) -> str:
    """What goes on beside them ends with them."""
    begin = f"{CARRIED}; trap 'jobs -p | xargs -r kill' EXIT"
    kubectl = f"PATH={needs('WAYBILL_TEST_KUBERNETES')}:$PATH"
    return shell(home, begin, kubectl, *commands, WAYBILL_HELM=needs("WAYBILL_TEST_HELM4"))


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
        return [adapted(each, doors) for each in blocks(page, section, ("", "sh"))]

    pack, project, save, carry = commands("Outside")
    # The node has the images already: small ones cross the gap, and with them the chart.
    archive(home / "waybill.tar", of_the_chart())
    archive(home / "minio.tar", {})
    run(home, pack, project, "mv ~/*.tar .", save, carry)
    small(home / "carry/media/values/room.yaml")
    run(home, *commands("The medium"))

    look, install, serve = commands("Inside, with Helm")
    push, _, rest = install.partition("\n")
    assert push.startswith("waybill images push")
    run(home, look, rest)
    keys, _ = commands("Bring the first model", INSTALL)
    run(home, keys)

    said = run(home, "cd ~/inside", "waybill inspect $media/bundle --json")
    commit = re.search(r'"commit": ?"([0-9a-f]{40})"', said)
    assert commit
    ask = commands("Ask it")[0]
    with Clock("the first page's model, from a medium to a chat"):
        answer = run(home, "cd ~/inside", serve.replace("<commit>", commit[1]), ask)
    assert '"role":"assistant"' in answer.replace(" ", "")


def small(path: Path) -> None:
    """What a cluster of one small node needs, below what the page says."""
    needed = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    needed["global"].pop("imageRegistry")
    path.write_text(yaml.safe_dump(overlay(needed, yaml.safe_load(path.read_text()))))
