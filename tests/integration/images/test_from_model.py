"""A small model as an artifact and as a data image: its bytes, its digest, and its limit."""

import json
import shutil
import tarfile
from pathlib import Path

import httpx
import pytest

from tests.images import NAME
from tests.integration.images.conftest import Save, pulled
from tests.integration.source.registry import Registry
from tests.unit.bundle.bundles import FILES, flip, write
from tests.unit.cli.conftest import Waybill
from waybill.bundle.media import Bundle
from waybill.digest import Digest
from waybill.source.connect import open_source


def files_of(bundle: Path) -> dict[str, bytes]:
    found = Bundle.open([bundle])
    (revision,) = found.index.revisions
    return {
        file.path: found.content(file.digest).open(0, file.size).read()
        for file in revision.manifest.files
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", FILES)


@pytest.fixture
def bundle(waybill: Waybill, folder: Path, tmp_path: Path) -> Path:
    assert waybill("pack", folder, "--as", "Acme/Demo", "--out", tmp_path / "packed").code == 0
    return tmp_path / "packed"


def test_an_artifact_has_the_models_own_digest_and_is_a_source_again(
    empty: Registry, bundle: Path, waybill: Waybill
) -> None:
    name = f"{empty.host}/models/demo:v1"
    ran = waybill("images", "from-model", bundle, "--name", name, "--push", "--json")
    assert ran.code == 0, ran.err
    (revision,) = Bundle.open([bundle]).index.revisions
    assert ran.result["digest"] == revision.manifest.descriptor.digest
    assert ran.result["commit"] == revision.manifest.commit
    source = open_source(f"oci://{name}")
    assert {one.path: source.open(one).read() for one in source.files()} == files_of(bundle)
    again = waybill("images", "from-model", bundle, "--name", name, "--push", "--json")
    assert again.result["sent"] == 0


def test_a_data_image_holds_the_files_in_one_layer(
    empty: Registry, bundle: Path, waybill: Waybill, tmp_path: Path
) -> None:
    name = f"{empty.host}/models/demo:data"
    arguments = ("images", "from-model", bundle, "--name", name, "--form", "image", "--json")
    ran = waybill(*arguments, "--push")
    assert ran.code == 0, ran.err
    image = pulled(empty, "models/demo", "data")
    assert image.digest == ran.result["digest"]
    value = json.loads(image.manifest)
    (tmp_path / "layer.tar").write_bytes(image.blobs[value["layers"][0]["digest"]])
    with tarfile.open(tmp_path / "layer.tar") as tar:
        found = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    assert found == files_of(bundle)
    config = json.loads(image.blobs[value["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [value["layers"][0]["digest"]]
    assert waybill(*arguments, "--out", tmp_path / "image.tar").result["digest"] == image.digest
    with tarfile.open(tmp_path / "image.tar") as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    assert index["manifests"][0]["annotations"][NAME] == name


@pytest.mark.parametrize("form", ["artifact", "image"])
def test_either_form_goes_into_a_store_as_the_model_that_it_was(
    form: str, empty: Registry, bundle: Path, waybill: Waybill, tmp_path: Path
) -> None:
    name, store = f"{empty.host}/models/demo:{form}", tmp_path / "store"
    made = waybill(
        "images", "from-model", bundle, "--name", name, "--form", form, "--push", "--json"
    )
    assert waybill("store", "init", store).code == 0
    ran = waybill("sideload", f"oci://{name}", "--as", "Acme/Demo", "--to", store, "--json")
    assert ran.code == 0, ran.err
    (loaded,) = ran.result["revisions"]
    assert (loaded["repo"], loaded["commit"]) == ("Acme/Demo", made.result["commit"])
    pulled_to = tmp_path / "pulled"
    commit = f"Acme/Demo@{loaded['commit']}"
    assert waybill("pull", commit, "--from", store, "--out", pulled_to).code == 0
    wanted = files_of(bundle)
    assert {path: (pulled_to / path).read_bytes() for path in wanted} == wanted


def test_a_data_image_of_before_is_made_again_or_unpacked(
    empty: Registry, bundle: Path, waybill: Waybill, tmp_path: Path
) -> None:
    name, store = f"{empty.host}/models/demo:before", tmp_path / "store"
    make = ("images", "from-model", bundle, "--name", name, "--form", "image", "--push", "--json")
    commit = waybill(*make).result["commit"]
    plain = json.loads(pulled(empty, "models/demo", "before").manifest)
    assert plain["layers"][0].pop("annotations") == {"io.waybill.model.data": "true"}
    url = f"http://{empty.host}/v2/models/demo/manifests/before"
    kind = {"content-type": plain["mediaType"]}
    put = httpx.put(url, content=json.dumps(plain), headers=kind, trust_env=False)
    assert put.status_code == 201
    assert waybill("store", "init", store).code == 0
    load = ("sideload", "--as", "Acme/Demo", "--to", store, "--json")
    ran = waybill(*load, f"oci://{name}")
    assert (ran.code, "whose files cannot be told" in ran.err) == (2, True)
    (layer,) = plain["layers"]
    shutil.unpack_archive(empty.blob(layer["digest"]), tmp_path / "files", "tar", filter="data")
    (loaded,) = waybill(*load, tmp_path / "files").result["revisions"]
    assert loaded["commit"] == commit
    assert waybill(*make).result["sent"] == 0
    (again,) = waybill(*load, f"oci://{name}").result["revisions"]
    assert again["commit"] == commit


def test_a_container_image_is_no_model(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    assert waybill("images", "push", save(), "--to", empty.host).code == 0
    image = f"oci://{empty.host}/acme/hub:1.0"
    ran = waybill("pack", image, "--as", "acme/hub", "--out", tmp_path / "packed")
    assert (ran.code, "whose files cannot be told" in ran.err) == (2, True)


def test_a_model_comes_straight_from_its_directory(
    empty: Registry,
    bundle: Path,
    folder: Path,
    waybill: Waybill,
) -> None:
    names = [f"{empty.host}/models/{one}:v1" for one in ("bundle", "directory")]
    one = waybill("images", "from-model", bundle, "--name", names[0], "--push", "--json")
    other = waybill(
        "images", "from-model", folder, "--as", "Acme/Demo", "--name", names[1], "--push", "--json"
    )
    assert one.result["digest"] == other.result["digest"]


def test_a_large_model_is_refused_with_the_reason(
    empty: Registry, bundle: Path, waybill: Waybill
) -> None:
    name = f"{empty.host}/models/large:v1"
    ran = waybill("images", "from-model", bundle, "--name", name, "--push", "--limit", "1kB")
    assert ran.code == 3
    assert "every node would pull and unpack" in ran.err
    assert "sideload it" in ran.err
    assert not (empty.folder / "docker").exists()


def test_the_limit_is_the_projects_unless_the_command_says_another(
    empty: Registry, bundle: Path, waybill: Waybill, tmp_path: Path
) -> None:
    environments = tmp_path / "values/environments.yaml"
    environments.parent.mkdir()
    environments.write_text("images: {modelLimit: 1kB}\nenvironments: {dev: {store: a}}\n")
    name = ("--name", f"{empty.host}/models/set:v1", "--project", tmp_path)
    ran = waybill("images", "from-model", bundle, *name, "--push")
    assert (ran.code, "should hold 1,000 at most" in ran.err) == (3, True)
    assert "images.modelLimit in values/environments.yaml" in ran.err
    assert waybill("images", "from-model", bundle, *name, "--push", "--limit", "1GB").code == 0
    environments.write_text("environments: {dev: {store: a}}\n")
    assert waybill("images", "from-model", bundle, *name, "--push").code == 0
    environments.write_text("images: {limit: 1kB}\nenvironments: {dev: {store: a}}\n")
    ran = waybill("images", "from-model", bundle, *name, "--push")
    assert (ran.code, "environments.yaml" in ran.err) == (2, True)


def test_a_large_source_is_refused_before_it_is_read(folder: Path, waybill: Waybill) -> None:
    """And by default."""
    with (folder / "model.safetensors").open("ab") as stream:
        stream.truncate(300 * 10**9)
    name = ("--as", "acme/demo", "--name", "127.0.0.1:1/models/large:v1")
    ran = waybill("images", "from-model", folder, *name, "--push")
    assert (ran.code, "acme/demo has 300,000,00" in ran.err) == (3, True)
    assert "an image should hold 1,000,000,000 at most" in ran.err


def test_one_source_is_one_model(folder: Path, waybill: Waybill) -> None:
    name = ("--as", "acme/demo", "--name", "127.0.0.1:1/models/two:v1")
    ran = waybill("images", "from-model", folder, folder, *name, "--push")
    assert (ran.code, "one source at a time" in ran.err) == (2, True)


@pytest.mark.parametrize("form", ["artifact", "image"])
def test_a_damaged_file_does_not_become_an_image(
    form: str, empty: Registry, bundle: Path, waybill: Waybill
) -> None:
    opened = Bundle.open([bundle])
    (revision,) = opened.index.revisions
    largest = max(revision.manifest.files, key=lambda file: file.size)
    part, extent = opened.index.places[Digest(largest.digest)][0]
    flip(bundle / part.name, extent.at)
    name = f"{empty.host}/models/damaged:v1"
    ran = waybill("images", "from-model", bundle, "--name", name, "--push", "--form", form)
    assert ran.code == 4
    assert not list(empty.folder.rglob("_manifests"))


def test_what_cannot_be_loaded_is_not_offered(bundle: Path, waybill: Waybill) -> None:
    ran = waybill("images", "from-model", bundle, "--name", "example.com/a/b:1", "--load")
    assert (ran.code, "--form image" in ran.err) == (2, True)
