"""The guide to images: its commands are run, in its order, in one shell, on a real registry."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.images import archive, build, layer
from tests.integration.source.registry import Registry
from tests.services import needs
from tests.unit.bundle.bundles import FILES, write
from tests.unit.cli.conftest import Waybill

REPO = Path(__file__).resolve().parents[3]
GUIDE = REPO / "tools/docs/images.md"


def test_the_guide_works_as_written(empty: Registry, tmp_path: Path) -> None:
    listed = yaml.safe_load((REPO / "charts/waybill/images.yaml").read_text())
    base = layer({"bin/sh": b"the same"})
    images = {one["name"]: build([base, layer({"n": one["name"].encode()})]) for one in listed}
    archive(tmp_path / "images.tar", images)
    write(tmp_path / "model", FILES)
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 4
    program = tmp_path / "bin/waybill"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m waybill "$@"\n')
    program.chmod(0o755)
    env = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "REGISTRY": empty.host,
        "WAYBILL_HELM": needs("WAYBILL_TEST_HELM4"),
        "WAYBILL_PROJECT": str(REPO),
    }
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "of them from an earlier run" in ran.stdout
    count = len(images)
    assert f"{count} of {count} images are good" in ran.stdout
    assert ran.stdout.count("acme/demo at") == 2
    assert all(f"{one.digest}" in ran.stdout for one in images.values())


def test_the_chart_comes_along_as_helm_reads_it(
    tmp_path: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    helm = needs("WAYBILL_TEST_HELM4")
    monkeypatch.setenv("WAYBILL_HELM", helm)
    archive(tmp_path / "images.tar", {"acme.example/a:1": build([layer({"n": b"one"})])})
    arguments = ("images", "save", "acme.example/a:1", "--archive", tmp_path / "images.tar")
    for out in ("one", "two"):
        ran = waybill(*arguments, "--project", REPO, "--json", "--out", tmp_path / out)
        assert ran.result["files"] == ["charts/waybill-0.1.0.tgz"], ran.err
    parts = [tmp_path / out / "part-00001.tar" for out in ("one", "two")]
    assert parts[0].read_bytes() == parts[1].read_bytes()
    shutil.unpack_archive(parts[0], tmp_path / "restored", filter="data")
    packed = tmp_path / "restored/charts/waybill-0.1.0.tgz"
    rendered = [
        subprocess.run([helm, "template", "t", chart], capture_output=True, check=True).stdout
        for chart in (packed, REPO / "charts/waybill")
    ]
    assert rendered[0] == rendered[1]
    again = waybill(*arguments, "--chart", packed, "--json", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert (tmp_path / "again/part-00001.tar").read_bytes() == parts[0].read_bytes()


def test_other_images_come_along(
    tmp_path: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
    monkeypatch.setenv("WAYBILL_PROJECT", str(REPO))
    listed = yaml.safe_load((REPO / "charts/waybill/images.yaml").read_text())
    own, other = [one["name"] for one in listed], "nvcr.example/nvidia/operator:v1"
    built = build([layer({"n": b"one"})])
    archive(tmp_path / "images.tar", dict.fromkeys([*own, other], built))
    arguments = ("images", "save", other, "--archive", tmp_path / "images.tar", "--json", "--out")
    alone = waybill(*arguments, tmp_path / "alone").result["images"]
    assert [one["name"] for one in alone] == [other]
    beside = waybill(*arguments, tmp_path / "beside", "--env", "test", "--all").result["images"]
    assert {one["name"] for one in beside} == {*own, other}
