"""rollback as people run it, with a cluster that takes it or does not."""

from pathlib import Path

import pytest

from tests.unit.cli.test_plan_commands import SCOPE, Run, policed, run, site
from tests.unit.release.site import Site
from waybill.cli import rollback
from waybill.deliver import install
from waybill.deliver.changes import Change
from waybill.deliver.helm import Helm
from waybill.errors import HelmFailed

__all__ = ["policed", "run", "site"]  # Fixtures.


def test_rollback_that_the_cluster_did_not_take_says_how_to_go_on(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise HelmFailed(what="upgrade", why="another operation is in progress")

    site.policy()
    run("promote", *SCOPE)
    new = site.world.stable("test")
    monkeypatch.setattr(rollback, "_ready", lambda *_: True)
    monkeypatch.setattr(rollback, "_install", busy)
    run("rollback", "test", "chat", "--install", code=1)
    assert "bring them there: waybill install test" in run.said
    assert site.world.stable("test") != new
    told = run.json("rollback", "test", "chat", "--install", code=2)
    assert "waybill install test" in told["hint"]
    assert site.world.stable("test") != new


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_rollback_names_what_else_it_would_install(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    edited = [Change("change", "Deployment", f"w-{name}", ()) for name in ("a", "b", "c", "d")]
    run("promote", *SCOPE)
    monkeypatch.setattr(rollback, "_ready", lambda *_: True)
    monkeypatch.setattr(rollback, "_install", lambda *_: None)
    monkeypatch.setattr(rollback, "release_of", lambda _: (None, Helm(Path("x"), "w", "ns")))
    monkeypatch.setattr(install, "plan", lambda helm: install.Plan(helm, 1, edited, 600))
    run("rollback", "test", "chat", "--install", *words)
    told = "it installs what else was edited, too: Deployment w-a, Deployment w-b, "
    assert f"{told}Deployment w-c and 1 more\n" in run.said
    run("rollback", "test", "chat", "--dry-run")
    assert "was edited" not in run.said


def test_without_a_policy_a_rollback_holds_nothing(run: Run) -> None:
    run("promote", *SCOPE)
    run("rollback", "test", "chat")
    run("promote", *SCOPE)


def test_to_go_forward_again_holds_nothing(run: Run, site: Site) -> None:
    site.policy()
    run("promote", *SCOPE)
    new = site.world.stable("test")
    run("rollback", "test", "chat", "--why", "slow")
    run("hold", "release", "test", "chat", "--why", "mended")
    run("rollback", "test", "chat", "--to", str(new))
    assert site.world.stable("test") == new
    assert "on hold" not in run("status")
