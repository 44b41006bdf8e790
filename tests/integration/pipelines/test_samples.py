"""The samples are what the forges' published schemas, and Groovy, take; a mistake would be seen."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.pipelines.conftest import SAMPLES
from tests.integration.pipelines.jenkins import WORDS, said_by
from tests.services import needs

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
FILES = [
    *((name, path) for name in SCHEMAS for path in sorted((SAMPLES / name).glob("*.yml"))),
]
STEPS = {path.name for path in (SAMPLES / "steps").iterdir() if path.suffix != ".sh"}


def checked(name: str, path: Path) -> subprocess.CompletedProcess[str]:
    """With the schemas inside of the package: no network is asked."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda value: Path(value).name)
def test_samples_fit_the_schema_of_their_forge(name: str, path: Path) -> None:
    done = checked(name, path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda value: Path(value).name)
def test_a_misspelt_key_is_refused(name: str, path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    wrong = tmp_path / path.name
    wrong.write_text(re.sub(r"^( +)(runs-on|stage):", r"\1\2s:", text, flags=re.MULTILINE))
    assert wrong.read_text() != text
    assert checked(name, wrong).returncode == 1


@pytest.mark.parametrize("line", ["stage('A') { steps { sh 'true' } }", "stages { stag('A') { } }"])
def test_a_jenkinsfile_with_a_word_out_of_place_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "Jenkinsfile"
    path.write_text(f"pipeline {{\n    agent none\n    {line}\n}}\n")
    command = ["java", "-cp", needs("WAYBILL_TEST_GROOVY"), "groovy.ui.GroovyMain", str(WORDS)]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "IllegalArgumentException" in done.stderr


def called(text: str) -> set[str]:
    return set(re.findall(r"ci/waybill/([a-z]+)", text))


def test_all_forges_call_the_same_steps() -> None:
    jenkins = sorted((SAMPLES / "jenkins").iterdir())
    said = {
        word for path in jenkins for _, _, *given in said_by(path) for word in called(str(given))
    }
    # `comment` is called by the steps themselves.
    everything = STEPS - {"comment"}
    assert said == everything
    for name in SCHEMAS:
        scripts = [str(yaml.safe_load(path.read_text())) for each, path in FILES if each == name]
        assert set().union(*map(called, scripts)) == everything, name


def test_all_samples_name_the_version_of_this_project() -> None:
    from waybill import __version__

    texts = [path.read_text() for path in SAMPLES.rglob("*") if path.is_file()]
    named = {
        version
        for text in texts
        for version in re.findall(r"""WAYBILL_VERSION(?::| =) ["'](.*?)["']""", text)
    }
    assert named == {__version__}
