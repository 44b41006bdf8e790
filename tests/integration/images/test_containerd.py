"""Into a real containerd, as a node runs it, with no registry: it has them whole, and unpacked."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.images.conftest import IMAGES, Save
from tests.services import free_port, needs, running
from tests.unit.bundle.bundles import FILES, flip, write
from tests.unit.cli.conftest import Waybill

CRI = ("grpc.v1.cri", "cri.v1.images", "cri.v1.runtime", "nri.v1.nri")


@dataclass(frozen=True)
class Containerd:
    programs: Path
    socket: Path
    root: Path

    def ctr(self, *arguments: str) -> list[list[str]]:
        """The lines of a table, without its head."""
        command = [str(self.programs / "ctr"), f"--address={self.socket}", "--namespace=k8s.io"]
        ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
        return [line.split() for line in ran.stdout.splitlines()[1:]]

    def digests(self) -> dict[str, str]:
        return {line[0]: line[2] for line in self.ctr("images", "ls")}


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    programs = Path(needs("WAYBILL_TEST_KUBERNETES"))
    folder, metrics = tmp_path_factory.mktemp("containerd"), f"127.0.0.1:{free_port()}"
    # As short as a socket's name has to be.
    socket = folder / "c.sock"
    off = ", ".join(f'"io.containerd.{one}"' for one in CRI)
    (folder / "config.toml").write_text(
        f'version = 3\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = [{off}]\n[grpc]\naddress = "{socket}"\n'
        f'[ttrpc]\naddress = "{folder}/t.sock"\n[metrics]\naddress = "{metrics}"\n'
    )
    command = [str(programs / "containerd"), "--config", str(folder / "config.toml")]
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    health = f"http://{metrics}/v1/metrics"
    with running(command, env, folder / "containerd.log", health, 30):
        yield Containerd(programs, socket, folder / "root")


@pytest.fixture(autouse=True)
def in_path(containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{containerd.programs}:{os.environ['PATH']}")


def test_images_are_there_under_their_own_names(
    containerd: Containerd, save: Save, waybill: Waybill
) -> None:
    ran = waybill("images", "load", save(), "--address", containerd.socket)
    assert ran.code == 0, ran.err
    found = containerd.digests()
    assert {name: found.get(name) for name in IMAGES} == {
        name: image.digest for name, image in IMAGES.items()
    }
    for line in containerd.ctr("images", "check"):
        assert (line[3], line[-1]) == ("complete", "true"), line


def test_images_are_there_under_the_names_of_a_mirror(
    containerd: Containerd, save: Save, waybill: Waybill
) -> None:
    mirror = ("--as", "registry.internal:5000/all")
    assert waybill("images", "load", save(), "--address", containerd.socket, *mirror).code == 0
    assert {"registry.internal:5000/all/acme/hub:1.0"} <= containerd.digests().keys()


def test_a_small_model_is_there_as_files(
    containerd: Containerd, waybill: Waybill, tmp_path: Path
) -> None:
    model, name = write(tmp_path / "model", FILES), "models.internal/acme/demo:v1"
    arguments = ("images", "from-model", model, "--as", "Acme/Demo", "--name", name)
    ran = waybill(*arguments, "--form", "image", "--load", "--address", containerd.socket, "--json")
    assert ran.code == 0, ran.err
    assert containerd.digests()[name] == ran.result["digest"]
    unpacked = {line[0]: line[-1] for line in containerd.ctr("images", "check")}
    assert unpacked[name] == "true"
    # What a pod would mount: the only layer of the image, unpacked.
    roots = [place.parents[1] for place in containerd.root.rglob("1_Pooling/config.json")]
    assert [{path: (root / path).read_bytes() for path in FILES} for root in roots] == [FILES]


def test_a_damaged_part_brings_no_image(
    containerd: Containerd, save: Save, waybill: Waybill
) -> None:
    bundle = save(out="damaged")
    flip(bundle / "part-00001.tar", 4_000_000)
    place = ("--as", "damaged.internal")
    ran = waybill("images", "load", bundle, "--address", containerd.socket, *place)
    assert ran.code == 4
    assert not [name for name in containerd.digests() if name.startswith("damaged.internal")]


def test_what_containerd_says_is_passed_on(save: Save, waybill: Waybill, tmp_path: Path) -> None:
    ran = waybill("images", "load", save(), "--address", tmp_path / "none.sock")
    assert ran.code == 1
    assert "ctr" in ran.err
    assert "none.sock" in ran.err
