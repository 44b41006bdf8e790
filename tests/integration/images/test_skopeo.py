"""What we write, read by skopeo: the restored layout, and the stream in its two readings."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.images.conftest import HUB, IMAGES, Save, pulled
from tests.integration.source.registry import Registry
from tests.services import needs
from tests.unit.bundle.test_readme import command_lines, shell
from waybill.bundle.media import Bundle
from waybill.deliver.images.blobs import Blobs
from waybill.deliver.images.load import archive_of, write


def skopeo(*arguments: str) -> bytes:
    command = [needs("WAYBILL_TEST_SKOPEO"), "--insecure-policy", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_the_readmes_commands_bring_an_image_into_a_registry(
    empty: Registry, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/skopeo"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {needs("WAYBILL_TEST_SKOPEO")} --insecure-policy "$@" '
        "--dest-tls-verify=false\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    restored = tmp_path / "restored"
    shutil.copytree(save(), restored)
    for line in command_lines(restored / "README.txt"):
        place = line.replace("REGISTRY/REPOSITORY:TAG", f"{empty.host}/by/hand:1")
        shell(place.replace("NAME", HUB), restored)
    assert pulled(empty, "by/hand", "1") == IMAGES[HUB]


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_the_stream_is_read_as_podman_and_docker_read_it(
    kind: str, save: Save, tmp_path: Path
) -> None:
    write(tmp_path / "a.tar", archive_of(Blobs(Bundle.open([save()])), None).chunks())
    for name, image in IMAGES.items():
        found = json.loads(skopeo("inspect", "--config", f"{kind}:{tmp_path}/a.tar:{name}"))
        config = json.loads(image.blobs[json.loads(image.manifest)["config"]["digest"]])
        assert found["rootfs"]["diff_ids"] == config["rootfs"]["diff_ids"]
        skopeo("copy", f"{kind}:{tmp_path}/a.tar:{name}", f"oci:{tmp_path}/copied:one")
