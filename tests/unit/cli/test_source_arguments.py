"""Where a model comes from, as arguments and import manifests say it."""

import argparse
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Waybill
from waybill.cli.sources import ROOTS, add_source, said_of

SAMPLES = Path(__file__).resolve().parents[3] / "values/samples/sources"


def manifest(folder: Path, **said: str) -> Path:
    path = folder / "import.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in said.items()))
    return path


def test_sources_of_this_machine_can_be_confined(
    waybill: Waybill, model: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imports").mkdir()
    pack = ("pack", model, "--as", "a/b", "--dry-run")
    sideload = ("sideload", model, "--as", "a/b", "--to", store, "--dry-run")
    for command in (pack, sideload):
        ran = waybill(*command, "--allow-root", tmp_path / "imports")
        assert (ran.code, "sources of this machine have to be" in ran.err) == (3, True)
        assert waybill(*command, "--allow-root", tmp_path).code == 0
        with monkeypatch.context() as patch:
            patch.setenv(ROOTS, str(tmp_path / "imports"))
            assert waybill(*command, "--allow-root", tmp_path).code == 3


def test_files_that_a_manifest_names_are_confined_too(
    waybill: Waybill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imports").mkdir()
    monkeypatch.setenv(ROOTS, str(tmp_path / "imports"))
    for key in ("tokenFile", "caBundle", "clientCertificate", "clientKey"):
        said = {"source": "https://localhost:1/x", "as": "a/b", key: "../secret"}
        ran = waybill("pack", "--manifest", manifest(tmp_path / "imports", **said), "--dry-run")
        assert (ran.code, f"{tmp_path}/imports/../secret is not below" in ran.err) == (3, True)


def test_the_media_of_a_bundle_are_confined_too(
    waybill: Waybill, bundle: Path, store: Path, tmp_path: Path
) -> None:
    load = ("sideload", bundle, "--to", store, "--dry-run", "--allow-root")
    ran = waybill(*load, tmp_path / "imports")
    assert (ran.code, f"{bundle} is not below" in ran.err) == (3, True)
    assert waybill(*load, bundle).code == 0
    image = ("images", "from-model", bundle, "--name", "host/a:v1", "--push", "--allow-root")
    assert waybill(*image, tmp_path / "imports").code == 3


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.stem)
def test_a_manifest_is_of_use_for_a_copy_of_its_model_elsewhere(
    path: Path, waybill: Waybill, model: Path
) -> None:
    ran = waybill("pack", "--manifest", path, model, "--dry-run", "--json")
    assert (ran.code, ran.result["repo"]) == (0, "acme/demo")
    ran = waybill("pack", "--manifest", path, model, "--dry-run", "--source-profile", "x")
    assert (ran.code, "--source-profile 'x' is not usable" in ran.err) == (2, True)


def test_another_url_of_a_file_must_have_the_same_digest(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    add_source(parser)
    digest = "ab" * 32
    facts = {"source": "https://host/x", "sha256": digest, "tokenFile": "token"}
    path = manifest(tmp_path, **facts)
    said = said_of(parser.parse_args(["https://mirror/x", "--manifest", str(path)]))
    assert said == {"source": "https://mirror/x", "sha256": digest}
    said = said_of(parser.parse_args(["https://host/x", "--manifest", str(path)]))
    assert said == {**facts, "tokenFile": str(tmp_path / "token")}


@pytest.mark.parametrize("told", ["", ":"])
def test_roots_that_name_no_directory_do_not_stand_for_all(
    told: str, waybill: Waybill, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOTS, told)
    ran = waybill("pack", model, "--as", "a/b", "--dry-run", "--allow-root", model)
    assert (ran.code, f"{ROOTS} '{told}' is not usable" in ran.err) == (2, True)


@pytest.mark.parametrize("flag", ["--source-sha256", "--source-client-key", "--certificate"])
def test_what_is_said_of_a_source_is_refused_for_a_bundle(
    flag: str, waybill: Waybill, bundle: Path, store: Path
) -> None:
    ran = waybill("sideload", bundle, "--to", store, flag, "x", "--dry-run")
    assert (ran.code, f"{flag} 'x' is not usable: it is not for a bundle" in ran.err) == (2, True)
    if flag != "--certificate":
        ran = waybill("images", "from-model", bundle, "--name", "host/a:v1", "--push", flag, "x")
        assert (ran.code, f"{flag} 'x' is not usable: it is not for" in ran.err) == (2, True)


def test_a_key_without_its_certificate_and_a_secret_of_a_cluster_are_refused(
    waybill: Waybill, tmp_path: Path
) -> None:
    pack = ("pack", "--as", "a/b", "--dry-run")
    ran = waybill(*pack, "https://localhost:1/x", "--source-client-key", "x")
    assert (ran.code, "it goes with a certificate: --source-client-cert" in ran.err) == (2, True)
    path = manifest(tmp_path, source="https://localhost:1/x", secret="models")
    ran = waybill(*pack, "--manifest", path)
    assert (ran.code, "secret 'models' is not usable: it counts for" in ran.err) == (2, True)


@pytest.mark.parametrize("flag", ["--base-endpoint", "--base-profile", "--base-ca-bundle"])
def test_how_a_store_is_reached_is_refused_for_another_base(
    flag: str, waybill: Waybill, model: Path, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "inventory.json").write_text("{}")
    for base in (bundle, tmp_path / "inventory.json"):
        ran = waybill("pack", model, "--as", "a/b", "--dry-run", "--base", base, flag, "x")
        assert (ran.code, "x is for one that is a store, and this is none" in ran.err) == (2, True)
