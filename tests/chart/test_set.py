"""`waybill set` asks the chart before it writes."""

import shutil
from pathlib import Path

import pytest

from tests.chart.rendering import CHART
from tests.services import needs
from waybill.cli.main import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Helm 4 alone: a Helm 3 built without its release flags takes itself for Kubernetes 1.20.
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
    (tmp_path / "values").mkdir()
    (tmp_path / "values/environments.yaml").write_text("environments: {dev: {store: s}}\n")
    shutil.copy("values/dev.yaml", tmp_path / "values")
    return tmp_path


def run(project: Path, *changes: str) -> int:
    chart = str(CHART.resolve())
    return main(["set", *changes, "--env", "dev", "--project", str(project), "--chart", chart])


def test_what_the_chart_takes_is_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "values/dev.yaml").read_text()
    assert run(project, "global.models.chat.replicas=3") == 0
    after = (project / "values/dev.yaml").read_text()
    assert len(set(after.splitlines()) ^ set(before.splitlines())) <= 2
    assert "not checked" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", ["global.models.chat.replicas=many", "global.modles.chat.replicas=1"]
)
def test_what_the_chart_refuses_is_not_written(
    project: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "values/dev.yaml").read_bytes()
    assert run(project, change) != 0
    assert (project / "values/dev.yaml").read_bytes() == before
    assert "helm template" in capsys.readouterr().err


def test_a_file_that_was_refused_before_can_be_mended_step_by_step(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "values/dev.yaml"
    good = path.read_text()
    path.write_text(good + "wrong: 1\nwronger: 2\n")
    assert run(project, "global.models.chat.replicas=3") == 0
    assert "as it did before" in capsys.readouterr().err
