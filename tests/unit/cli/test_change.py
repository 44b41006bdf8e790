"""The texts of a change are those of what was edited, and git takes them as they are."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Ran, Waybill
from tests.unit.cli.test_plan_commands import SCOPE, Run, policed, run, site
from tests.unit.release.conftest import world
from tests.unit.release.site import Site
from tests.unit.release.test_follow import Scene, changes, scene
from tests.unit.release.world import World
from waybill.cli import watch

__all__ = ["changes", "policed", "run", "scene", "site", "world"]  # Fixtures.

NAMES = ["body.md", "branch", "commit", "title"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "change"


def said(folder: Path, name: str) -> str:
    return (folder / name).read_text()


def git(project: Path, *words: str) -> str:
    command = ["git", "-C", str(project), "-c", "user.name=A", "-c", "user.email=a@b", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def committed(project: Path, folder: Path) -> tuple[str, list[str]]:
    """As a pipeline does it: the message, and the files."""
    git(project, "switch", "--quiet", "--create", said(folder, "branch").strip())
    git(project, "add", "values/pins")
    git(project, "commit", "--quiet", "--file", str(folder / "commit"))
    assert git(project, "branch", "--show-current") == said(folder, "branch").strip()
    assert git(project, "log", "-1", "--format=%s") == said(folder, "title").strip()
    files = git(project, "show", "--format=", "--name-only", "HEAD").splitlines()
    return git(project, "log", "-1", "--format=%B"), files


@pytest.fixture
def repository(site: Site) -> Path:
    git(site.project, "init", "--quiet")
    (site.project / ".gitignore").write_text("stores/\n")
    git(site.project, "add", ".")
    git(site.project, "commit", "--quiet", "--message", "The project")
    return site.project


def test_a_promotion_and_a_rollback_become_changes(
    run: Run, site: Site, repository: Path, folder: Path
) -> None:
    old, new = str(site.world.stable("test"))[:8], site.commit()[:8]
    told = run.json("promote", *SCOPE, "--pull-request", str(folder))
    message, files = committed(repository, folder)
    assert message == (
        f"Promote chat from dev to test\n\nchat: {old} -> {new}\n\nWaybill-Plan: {told['plan']}"
    )
    assert files == ["values/pins/test.yaml"]
    run("rollback", "test", "chat", "--why", "slow <3", "--pull-request", str(folder))
    message, files = committed(repository, folder)
    assert message == f"Roll back chat in test to {old}\n\nchat: {new} -> {old}\n\nslow <3"
    assert files == ["values/pins/test.yaml"]
    assert said(folder, "branch") == f"waybill/rollback-test-chat-{old}\n"
    assert said(folder, "body.md") == (
        f"## Roll back chat in test to {old}\n\n- chat: {new} -\\> {old}\n- slow \\<3\n"
    )


def test_a_rollback_that_cannot_be_told_is_not_made(run: Run, site: Site, folder: Path) -> None:
    run("promote", *SCOPE)
    folder.write_text("a file")
    run("rollback", "test", "chat", "--pull-request", str(folder), code=2)
    assert site.world.stable("test") == site.commit()


@pytest.fixture
def followed(
    scene: Scene, waybill: Waybill, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Ran]:
    """`watch dev --pull-request` on the scene's cluster."""
    follower = scene.follower
    monkeypatch.setattr(watch, "release_of", lambda _: (follower.environment, follower.helm))
    monkeypatch.setattr(watch, "Cluster", lambda *_: scene.side)
    words: list[Any] = ["watch", "dev", "--model", "chat", "--pull-request", folder]
    return lambda: waybill(*words, "--project", scene.side.world.project)


def test_a_rollout_tells_which_traffic_it_moved(
    followed: Callable[[], Ran], scene: Scene, folder: Path
) -> None:
    old, new = (commit[:8] for commit in scene.side.commits)
    ran = followed()
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == NAMES
    assert said(folder, "title") == "Move the traffic of chat in dev\n"
    assert said(folder, "commit") == (
        "Move the traffic of chat in dev\n\n"
        f"chat: {new} 0 %, {old} 100 % -> {new} 100 %, {old} 0 %\n\n{ran.out}"
    )
    assert said(folder, "branch").startswith("waybill/watch-dev-")


def test_a_rollout_that_goes_back_tells_why(
    followed: Callable[[], Ran], scene: Scene, folder: Path
) -> None:
    scene.side.failing = lambda _: 1.0
    ran = followed()
    assert ran.code == 3, ran.err
    assert said(folder, "title") == "Take back chat in dev\n"
    assert said(folder, "commit").endswith(f"\n\n{ran.out}")
    assert "went back to" in said(folder, "body.md")


def test_a_rollout_that_is_cut_off_tells_how_far_it_came(
    followed: Callable[[], Ran], scene: Scene, world: World, folder: Path
) -> None:
    third = world.revision("dev", 3).commit

    def promoted(now: float) -> float:
        """Somebody does it meanwhile, in another checkout."""
        if now > 30 and world.ref("dev") != third:
            held = world["dev"].pins_path.read_bytes()
            world.pin("dev", third)
            world["dev"].pins_path.write_bytes(held)
        return 0.0

    scene.side.failing = promoted
    ran = followed()
    assert ran.code == 7, ran.err
    assert "10 %" in said(folder, "commit") and "50 %" not in said(folder, "commit")


def test_a_rollout_that_moves_nothing_writes_nothing(
    followed: Callable[[], Ran], folder: Path
) -> None:
    assert followed().code == 0
    for path in folder.iterdir():
        path.unlink()
    assert followed().code == 0
    assert list(folder.iterdir()) == []


def test_what_cannot_be_told_of_a_rollout_hides_nothing(
    followed: Callable[[], Ran], scene: Scene, folder: Path
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("no folder")
    scene.side.failing = lambda _: 1.0
    ran = followed()
    assert ran.code == 3, ran.err
    assert "warning: " in ran.err and "went back to" in ran.out
