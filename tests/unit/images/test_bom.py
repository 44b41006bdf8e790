"""The list of all that a bundle has: models, images and charts, under the index's own signature."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.images import archive, build, layer
from tests.unit.bundle.bundles import FILES, REPO, bytes_below, flip, load, new_store, pack, write
from tests.unit.cli.conftest import Waybill
from tests.unit.images.conftest import HUB
from tests.unit.images.test_chart import FILES as CHART
from tests.unit.images.test_chart import packed
from tests.unit.images.test_save import index_at, trusting
from tests.unit.sign.making import ed25519_key, policy_file, public_pem, write_key
from tests.unit.sign.test_statements import cyclonedx  # noqa: F401 - a fixture
from waybill import digest as digests
from waybill.bundle.images import Saving
from waybill.deliver.images.bom import bom
from waybill.manifest import canonical, statement
from waybill.sign.statements import BOM
from waybill.source.archives import ArchiveImages
from waybill.source.images import resolve
from waybill.source.reference import Reference

ENVOY = "registry.vendor.example/envoyproxy/envoy:v1.40.0"
IMAGES = {HUB: build([layer({"a": b"1"})]), ENVOY: build([layer({"envoy": b"2"})])}


def save(waybill: Waybill, out: Path, *options: object) -> Path:
    built, chart = out.with_suffix(".tar"), out.with_suffix(".tgz")
    chart.write_bytes(packed(CHART))
    arguments = ("images", "save", *IMAGES, "--archive", archive(built, IMAGES), "--out", out)
    ran = waybill(*arguments, "--chart", chart, *options)
    assert ran.code == 0, ran.err
    return out


@pytest.fixture
def bundle(waybill: Waybill, tmp_path: Path) -> Path:
    """A model that names its license, two images and a chart."""
    card = {"README.md": b"---\nlicense: apache-2.0\n---\n"}
    source = write(tmp_path / "model", {**FILES, **card})
    assert waybill("pack", source, "--as", REPO, "--out", tmp_path / "bundle").code == 0
    return save(waybill, tmp_path / "bundle")


def listed(waybill: Waybill, *bundle: object) -> dict[str, Any]:
    ran = waybill("images", "bom", *bundle, "--json")
    assert ran.code == 0, ran.err
    found: dict[str, Any] = ran.result["bom"]
    return found


def test_models_images_and_chart_are_in_one_list(
    waybill: Waybill,
    bundle: Path,
    cyclonedx: Any,  # noqa: F811
) -> None:
    found = listed(waybill, bundle)
    assert [error.message for error in cyclonedx.iter_errors(found)] == []
    parts = {each["bom-ref"]: each for each in found["components"]}
    (model,) = index_at(bundle).revisions
    assert set(parts) == {
        f"model/{REPO}@{model.manifest.commit}",
        *(f"image/{name}" for name in IMAGES),
        "chart/demo",
    }
    weights = parts[f"model/{REPO}@{model.manifest.commit}"]
    assert weights["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert {each["name"]: each["hashes"][0]["content"] for each in weights["components"]} == {
        file.path: digests.hex_of(file.digest) for file in model.manifest.files
    }
    for name, image in IMAGES.items():
        (digest,) = parts[f"image/{name}"]["hashes"]
        assert f"sha256:{digest['content']}" == image.digest
    assert parts[f"image/{ENVOY}"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert "licenses" not in parts[f"image/{HUB}"], "only its maker can say"
    assert "licenses" not in parts["chart/demo"]
    (digest,) = parts["chart/demo"]["hashes"]
    assert f"sha256:{digest['content']}" == digests.of(packed(CHART))


def test_people_read_it_as_a_table_and_auditors_as_a_file(
    waybill: Waybill, bundle: Path, tmp_path: Path
) -> None:
    said = waybill("images", "bom", bundle).out
    (model,) = (line for line in said.splitlines() if line.startswith("model "))
    assert str(REPO) in model and "Apache-2.0" in model
    (hub,) = (line for line in said.splitlines() if "example.com/acme/hub" in line)
    assert "not known" in hub and IMAGES[HUB].digest in hub
    ran = waybill("images", "bom", bundle, "--out", tmp_path / "list.json", "--json")
    data = (tmp_path / "list.json").read_bytes()
    assert (digests.of(data), json.loads(data)) == (ran.result["digest"], ran.result["bom"])
    assert (
        f"sha256:{digests.hex_of(digests.of(data))}".encode()
        in (bundle / "bundle.json").read_bytes()
    )


def test_the_same_content_has_the_same_list_and_other_content_another(
    waybill: Waybill, bundle: Path, tmp_path: Path
) -> None:
    sums = bytes_below(bundle)
    assert bytes_below(save(waybill, bundle)) == sums
    found = listed(waybill, bundle)
    shutil.copytree(bundle, tmp_path / "again")
    assert listed(waybill, save(waybill, tmp_path / "again")) == found
    alone = listed(waybill, save(waybill, tmp_path / "alone"))
    assert len(alone["components"]) == len(found["components"]) - 1
    assert alone["serialNumber"] != found["serialNumber"]


def test_a_bundle_of_changes_lists_what_came_before_too(waybill: Waybill, tmp_path: Path) -> None:
    first = save(waybill, tmp_path / "first")
    delta = save(waybill, tmp_path / "delta", "--base", first)
    assert index_at(delta).base
    assert listed(waybill, delta) == listed(waybill, first)


def test_the_index_and_its_signature_stand_for_it(waybill: Waybill, tmp_path: Path) -> None:
    key = ed25519_key()
    signed = save(waybill, tmp_path / "signed", "--key", write_key(tmp_path / "key.pem", key))
    plain = save(waybill, tmp_path / "plain")
    ours = policy_file(tmp_path / "ours", **trusting(public_pem(key)))
    theirs = policy_file(tmp_path / "theirs", **trusting(public_pem(ed25519_key())))
    of_lists = {**trusting(public_pem(key)), "default": {"unsigned": "allow"}}
    of_lists["repos"] = {"bom/bundle.cdx.json": {"signedBy": ["release"], "unsigned": "refuse"}}
    lists_alone = policy_file(tmp_path / "lists-alone", **of_lists)
    out = tmp_path / "list.json"
    for bundle, policy in ((signed, theirs), (plain, ours), (plain, lists_alone)):
        assert waybill("images", "bom", bundle, "--trust", policy, "--out", out).code == 3
    for policy in (ours, lists_alone):
        assert waybill("images", "bom", signed, "--trust", policy).code == 0
    flip(signed / "part-00001.tar", 600)
    assert waybill("images", "bom", signed, "--trust", ours, "--out", out).code == 4
    assert waybill("images", "verify", signed, "--trust", ours).code == 4
    assert not out.exists()


def test_tar_alone_restores_it(waybill: Waybill, bundle: Path, tmp_path: Path) -> None:
    (part,) = (
        path
        for path in sorted(bundle.glob("part-*.tar"))
        if b"bom/bundle.cdx.json" in path.read_bytes()
    )
    command = ["tar", "-xOf", str(part), "bom/bundle.cdx.json"]
    found = subprocess.run(command, check=True, capture_output=True).stdout
    assert json.loads(found) == listed(waybill, bundle)
    assert load(new_store(tmp_path / "store"), bundle), "models load as ever"


def test_a_bundle_without_one_is_told(waybill: Waybill, tmp_path: Path) -> None:
    """Of models alone, and as it was saved before there were lists."""
    pack(write(tmp_path / "model", FILES), tmp_path / "models")
    ran = waybill("images", "bom", tmp_path / "models")
    assert (ran.code, "has no images" in ran.err) == (2, True)
    images = ArchiveImages([archive(tmp_path / "images.tar", IMAGES)])
    name, out = Reference.parse(HUB), tmp_path / "before"
    out.mkdir()
    Saving.plan([out], images, {name: resolve(images, name)}, {}).run([out])
    ran = waybill("images", "bom", out)
    assert (ran.code, "has no list of what is in it" in ran.err) == (2, True)


@pytest.mark.parametrize("said", [None, [], {"metadata": []}, {"metadata": {"component": "x"}}])
def test_a_model_of_which_nothing_is_said_is_listed_by_its_content(
    said: Any,
    bundle: Path,
    cyclonedx: Any,  # noqa: F811
) -> None:
    (model,) = index_at(bundle).revisions
    bare = replace(model, statements=(statement(model.manifest, BOM, said),))
    found = json.loads(bom([bare], [], []))
    assert [error.message for error in cyclonedx.iter_errors(found)] == []
    (one,) = found["components"]
    assert "licenses" not in one
    assert (f"{one['group']}/{one['name']}", one["version"]) == (str(REPO), model.manifest.commit)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda _: b"no list", "it is no list of a bundle's components"),
        (lambda _: b"[]", "it is no list of a bundle's components"),
        (
            lambda data: data.replace(b'"bom-ref"', b'"ref"'),
            "it is no list of a bundle's components",
        ),
        (lambda data: data.replace(b"chart/demo", b"chart/other"), "it lists other things"),
        (lambda _: b'{"components": []}', "it lists other things"),
    ],
)
def test_a_list_of_something_else_is_refused(
    made: Callable[[bytes], bytes],
    why: str,
    waybill: Waybill,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("waybill.deliver.images.bom.bom", lambda *given: made(bom(*given)))
        bundle = save(waybill, tmp_path / "bundle")
    ran = waybill("images", "bom", bundle)
    assert ran.code == 2, ran.err
    assert "bom/bundle.cdx.json" in ran.err and why in ran.err


def test_a_license_may_be_an_expression(
    waybill: Waybill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expressed(*given: Any) -> bytes:
        found = json.loads(bom(*given))
        found["components"][0]["licenses"] = [{"expression": "MIT OR ISC"}]
        return canonical(found)

    with monkeypatch.context() as patch:
        patch.setattr("waybill.deliver.images.bom.bom", expressed)
        bundle = save(waybill, tmp_path / "bundle")
    assert "MIT OR ISC" in waybill("images", "bom", bundle).out
