"""How long a rollback takes, and whether anybody answers meanwhile, as the chart says it."""

from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART, HELM
from tests.services import needs
from tests.unit.release.world import new_world
from waybill.cli.main import main
from waybill.deliver.cluster import Cluster
from waybill.deliver.environments import Environment
from waybill.deliver.pins import Pin, Pins, Revision, Slot
from waybill.digest import Digest
from waybill.release import delay
from waybill.release.delay import Delay
from waybill.release.move import Move
from waybill.store.connect import Access, connect

OLD, NOW, OTHER = (
    Revision("acme/chat", Digest(f"sha256:{digit * 64}"), 20_000_000_000) for digit in "123"
)
BUDGET = 2 * (300 + 2 * 20_000_000_000 // 100_000_000)
"""As tools/docs/engines.md says it, for the loadRate of the profile cpu: 100 MB/s."""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """NOW is the stable one, and OLD the one before."""
    monkeypatch.setenv("WAYBILL_HELM", needs(HELM[4]))
    pin = Pin(
        {OLD.commit: OLD, NOW.commit: NOW},
        {"stable": Slot(NOW.commit, 100), "previous": Slot(OLD.commit, 0)},
    )
    (tmp_path / "pins.yaml").write_text(Pins({"chat": pin}).text)
    return Environment("prod", "store", tmp_path / "pins.yaml", tmp_path / "values.yaml")


def serve(environment: Environment, rollout: str) -> None:
    entry = {"enabled": True, "profile": "cpu", "rollout": rollout}
    environment.values_path.write_text(yaml.safe_dump({"global": {"models": {"chat": entry}}}))


def pinned_twice(project: Path, rollout: str) -> list[str]:
    """The command that takes back the second of two revisions."""
    world = new_world(project)
    for number in (1, 2):
        world.pin("prod", world.revision("prod", number).commit)
    serve(world["prod"], rollout)
    return ["rollback", "prod", "chat", "--dry-run", "--project", str(project)]


def wait(environment: Environment, to: Revision, rollout: str, ready: bool | None = None) -> Delay:
    serve(environment, rollout)
    store = connect(environment.values_path.parent.as_uri(), Access())
    return delay.of(Move(environment, store, "chat", to, None, NOW), CHART, ready=ready)


def test_an_engine_that_runs_is_waited_for_by_nobody(environment: Environment) -> None:
    assert wait(environment, OLD, "sideBySide") == Delay(0, silent=False)


def test_an_engine_that_is_there_and_does_not_run_has_to_start(environment: Environment) -> None:
    """As one that crashes does, or one whose pin was never installed."""
    assert wait(environment, OLD, "sideBySide", ready=False) == Delay(BUDGET, silent=False)
    assert wait(environment, OLD, "sideBySide", ready=True) == Delay(0, silent=False)


def test_beside_each_other_the_present_one_answers_until_the_other_can(
    environment: Environment,
) -> None:
    assert wait(environment, OTHER, "sideBySide") == Delay(BUDGET, silent=False)


def test_where_one_replaces_the_other_nobody_answers(environment: Environment) -> None:
    before = environment.pins_path.read_text()
    assert wait(environment, OLD, "replace") == Delay(BUDGET, silent=True)
    assert environment.pins_path.read_text() == before


@pytest.mark.usefixtures("environment")
def test_the_command_says_it_before_it_does_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*pinned_twice(tmp_path / "project", "replace"), "--chart", str(CHART)]) == 0
    said = capsys.readouterr()
    assert "has to be loaded and started: up to 600 s, and nobody answers until then" in said.err
    assert "would move" in said.out


@pytest.mark.usefixtures("environment")
def test_with_the_cluster_at_hand_the_command_asks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has installed the revision that the files have had before."""
    command = pinned_twice(tmp_path / "project", "sideBySide")
    assert main([*command, "--chart", str(CHART)]) == 0
    assert "are in the files: where they run, it answers" in capsys.readouterr().err
    monkeypatch.setattr(Cluster, "listed", lambda *_: [])
    assert main([*command, "--chart", str(CHART), "--install"]) == 0
    assert "has to be loaded and started: up to 600 s" in capsys.readouterr().err
    assert main([*command, "--chart", str(tmp_path)]) == 0
    assert "is not known: " in capsys.readouterr().err
