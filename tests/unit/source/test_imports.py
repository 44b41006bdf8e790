"""Import manifests: strict, relative to their own place, and each sample is one."""

from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import waybill  # noqa: F401 - a fixture
from waybill.cli.sources import REACH
from waybill.errors import BadFile
from waybill.source import imports
from waybill.source.connect import FORMS

SAMPLES = Path(__file__).resolve().parents[3] / "values/samples/sources"


def load(folder: Path, text: str) -> dict[str, object]:
    (folder / "import.yaml").write_text(text)
    return dict(imports.load(folder / "import.yaml"))


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    text = "source: ./model\nas: acme/demo\ncaBundle: ca.crt\ntokenFile: /run/token\n"
    assert load(tmp_path, text) == {
        "source": f"{tmp_path}/model",
        "as": "acme/demo",
        "caBundle": f"{tmp_path}/ca.crt",
        "tokenFile": "/run/token",
    }
    assert load(tmp_path, "source: s3://bucket/x/")["source"] == "s3://bucket/x/"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("as: a/b", "the key 'source' is missing"),
        ("source: x\npassword: y", "the key 'password' is not known; known are: source, as"),
        ("source: x\ninclude: '*.gguf'", r"include: '\*.gguf' is not a list"),
        ("source: x\nallowPickle: 'yes'", "allowPickle: 'yes' is not true or false"),
        ("source: ''", "source: '' "),
    ],
)
def test_what_does_not_fit_is_told(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=why):
        load(tmp_path, text)


def test_a_manifest_has_a_key_for_each_flag_of_a_source() -> None:
    keys = set(imports.SCHEMA["properties"])
    flags = {name.title().replace("-", "") for name in REACH}
    assert {key[0].upper() + key[1:] for key in keys} >= flags


def test_there_is_a_sample_for_each_form() -> None:
    schemes = {str(yaml.safe_load(path.read_text())["source"]) for path in SAMPLES.iterdir()}
    told = {one.partition("://")[0] if "://" in one else "" for one in schemes}
    alike = {"file", "http", "oci+http", "hub+http", "store+file"}
    assert told >= set(FORMS) - alike


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.stem)
def test_each_sample_is_a_manifest_that_says_what_it_becomes(path: Path) -> None:
    found = imports.load(path)
    assert found["as"]
    assert "# " in path.read_text()
