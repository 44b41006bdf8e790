"""`install`, with a script for helm and no cluster: those are in tests/chart and tests/e2e."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Waybill
from waybill.deliver import install

HELM = r"""#!/bin/sh
case "$1 $2" in
    version*) echo v4.3.1 ;;
    template*) printf 'kind: ConfigMap\nmetadata: {name: w}\n' ;;
    show*) echo '{}' ;;
    list*) echo '[]' ;;
    'get notes') printf 'NOTES:\nNow: helm test w\n' ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "helm"
    program.write_text(HELM)
    program.chmod(0o755)
    monkeypatch.setenv("WAYBILL_HELM", str(program))
    monkeypatch.setattr(install, "carry_out", lambda *_: None)
    (tmp_path / "values").mkdir()
    (tmp_path / "values/dev.yaml").write_text("{}")
    (tmp_path / "values/environments.yaml").write_text("environments: {dev: {store: stores/dev}}")
    (tmp_path / "Chart.yaml").write_text("name: w")
    return tmp_path


def test_an_installation_ends_with_what_comes_next(waybill: Waybill, project: Path) -> None:
    where = ("dev", "--project", project, "--chart", project)
    ran = waybill("install", *where)
    assert ran.code == 0
    assert ran.out.endswith("with 1 object changed\n\nNow: helm test w\n")
    assert waybill("install", *where, "--json").result["notes"] == "Now: helm test w"


def test_what_would_change_has_no_next_step(waybill: Waybill, project: Path) -> None:
    flags = ("--project", project, "--chart", project, "--dry-run", "--detailed-exitcode", "--json")
    ran = waybill("install", "dev", *flags)
    assert ran.code == 5 and json.loads(ran.out)["result"]["notes"] == ""
    assert "add ConfigMap w" in ran.err


def test_machines_read_the_objects_that_would_be_installed(waybill: Waybill, project: Path) -> None:
    ran = waybill("render", "dev", "--project", project, "--chart", project, "--json")
    assert ran.result["objects"] == [{"kind": "ConfigMap", "metadata": {"name": "w"}}]


def test_a_chart_that_is_not_there_is_told_with_what_to_do(waybill: Waybill, project: Path) -> None:
    ran = waybill("install", "dev", "--project", project)
    assert ran.code == 2
    assert ran.err.startswith(
        f"error: there is no chart at {project}/charts/waybill\nhint: stand in"
    )
    assert "say where they are: --project DIR, --chart PATH" in ran.err
