"""The guide to images: its commands are run, in its order, in one shell, on a real registry."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.images import archive, build, chart_names, layer, of_the_chart
from tests.integration.source.registry import MANIFEST, Registry
from tests.pages import CARRIED, DOCS, REPO, blocks, key_line, shell
from tests.services import needs
from tests.unit.bundle.bundles import FILES, write
from tests.unit.cli.conftest import Waybill

GUIDE = DOCS / "images.md"


def run(home: Path, *commands: str, **more: str) -> str:
    return shell(home, *commands, cwd=home, WAYBILL_HELM=needs("WAYBILL_TEST_HELM4"), **more)


def test_the_guide_works_as_written(empty: Registry, tmp_path: Path) -> None:
    images = of_the_chart()
    archive(tmp_path / "images.tar", images)
    write(tmp_path / "model", FILES)
    commands = blocks(GUIDE.read_text())
    assert len(commands) > 4
    said = run(tmp_path, *commands, REGISTRY=empty.host, WAYBILL_PROJECT=str(REPO))
    assert "of them from an earlier run" in said
    count = len(images)
    assert f"{count} of {count} images are good" in said
    commits = re.findall(r"acme/demo at ([0-9a-f]{40})", said)
    assert len(commits) == 3, "two images are made of it, and one goes into a store"
    assert len(set(commits)) == 1
    assert all(f"{one.digest}" in said for one in images.values())


def test_the_first_pages_images_reach_the_registry_of_the_room(
    empty: Registry, tmp_path: Path
) -> None:
    page = (DOCS / "closed-room.md").read_text()
    _, project, save, _ = blocks(page, "Outside", ("", "sh"))
    (push,) = re.findall(r"^waybill images push .*$", page, re.MULTILINE)
    images, carry = of_the_chart(), tmp_path / "carry"
    (carry / "media").mkdir(parents=True)
    archive(carry / "waybill.tar", images)
    shutil.copy(carry / "waybill.tar", carry / "minio.tar")
    lines = [CARRIED, "cd carry", key_line(page), project, "mv ../*.tar .", save, push]
    text = "\n".join(lines).replace("clone=$PWD", f"clone={REPO}")
    run(tmp_path, text.replace("registry.example.internal", empty.host))
    kinds = {"accept": f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"}
    url = f"http://{empty.host}"
    with httpx.Client(base_url=url, trust_env=False, headers=kinds) as client:
        for name in images:
            path, _, tag = name.partition("/")[2].rpartition(":")
            assert client.head(f"/v2/{path}/manifests/{tag}").status_code == 200, name


def test_the_chart_comes_along_as_helm_reads_it(
    tmp_path: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    helm = needs("WAYBILL_TEST_HELM4")
    monkeypatch.setenv("WAYBILL_HELM", helm)
    archive(tmp_path / "images.tar", {"acme.example/a:1": build([layer({"n": b"one"})])})
    arguments = ("images", "save", "acme.example/a:1", "--archive", tmp_path / "images.tar")
    for out in ("one", "two"):
        ran = waybill(*arguments, "--project", REPO, "--json", "--out", tmp_path / out)
        assert ran.result["files"] == ["bom/bundle.cdx.json", "charts/waybill-0.1.0.tgz"], ran.err
    parts = [tmp_path / out / "part-00001.tar" for out in ("one", "two")]
    assert parts[0].read_bytes() == parts[1].read_bytes()
    shutil.unpack_archive(parts[0], tmp_path / "restored", filter="data")
    packed = tmp_path / "restored/charts/waybill-0.1.0.tgz"
    assert waybill("images", "chart", tmp_path / "one", "--project", tmp_path / "room").code == 0
    charts = (REPO / "charts/waybill", packed, tmp_path / "room/charts/waybill")
    rendered = {
        subprocess.run([helm, "template", "t", chart], capture_output=True, check=True).stdout
        for chart in charts
    }
    assert len(rendered) == 1
    of_dev = ("render", "dev", "--project", REPO, "--chart")
    assert len({waybill(*of_dev, chart).out for chart in charts}) == 1
    again = waybill(*arguments, "--chart", packed, "--json", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert (tmp_path / "again/part-00001.tar").read_bytes() == parts[0].read_bytes()


def test_other_images_come_along(
    tmp_path: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
    monkeypatch.setenv("WAYBILL_PROJECT", str(REPO))
    own, other = chart_names(), "nvcr.example/nvidia/operator:v1"
    built = build([layer({"n": b"one"})])
    archive(tmp_path / "images.tar", dict.fromkeys([*own, other], built))
    arguments = ("images", "save", other, "--archive", tmp_path / "images.tar", "--json", "--out")
    alone = waybill(*arguments, tmp_path / "alone").result["images"]
    assert [one["name"] for one in alone] == [other]
    beside = waybill(*arguments, tmp_path / "beside", "--env", "test", "--all").result["images"]
    assert {one["name"] for one in beside} == {*own, other}
