"""Reports and the texts of a change where something comes in between, and where there is much."""

import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Waybill
from tests.unit.cli.test_change import NAMES, git, repository
from tests.unit.cli.test_plan_commands import ROOT, SCOPE, Run, policed, run, site
from tests.unit.cli.test_reports import Reports, reports
from tests.unit.cli.test_reports_end import drafts, gates
from tests.unit.release.site import Site
from tests.unit.release.test_replay import Carry, Side, carry, inside, outside
from tests.unit.release.world import OTHER, manifest
from waybill.cli import plan_report
from waybill.cli.main import main
from waybill.deliver import pins
from waybill.release import promote, replay
from waybill.release.plan import Plan

# Fixtures.
__all__ = [
    "carry",
    "drafts",
    "inside",
    "outside",
    "policed",
    "reports",
    "repository",
    "run",
    "site",
]


def test_a_replay_tells_that_every_byte_was_read(
    inside: Side, carry: Carry, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where judging has taken so long that all but this is judged again."""
    policy = "steps: {test: {bytes: deep, require: [bytes]}}\n"
    (inside.world.project / "values/policy.yaml").write_text(policy)
    monkeypatch.setattr(replay, "FRESH", timedelta(0))
    told = inside.run("apply", carry(1), *reports.words)
    assert gates(told)["bytes"] == "pass"
    assert "| ✅ pass | bytes | chat |" in reports.report


def killed(words: tuple[str, ...]) -> None:
    """The command in a process of its own, which ends as soon as the pins are on disk."""
    whole = pins.update

    def update(*given: Any) -> bool:
        whole(*given)
        os._exit(9)

    child = os.fork()
    if not child:
        setattr(pins, "update", update)  # noqa: B010 - it takes less than the one it stands for
        main(words)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_kill_right_after_the_pins_leaves_the_texts_of_the_change(
    run: Run, repository: Path, drafts: Path, command: str
) -> None:
    words: tuple[str, ...] = ("promote", *SCOPE)
    if command == "rollback":
        run(*words)
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", "--message", "Promote")
        words = ("rollback", "test", "chat")
    killed((*words, "--project", str(repository)))
    assert git(repository, "status", "--porcelain").endswith("values/pins/test.yaml")
    git(repository, "commit", "--quiet", "--all", "--file", str(drafts / "commit"))
    title = git(repository, "log", "-1", "--format=%s")
    assert title.startswith({"promote": "Promote chat", "rollback": "Roll back chat"}[command])


def test_where_nothing_has_moved_the_texts_before_are_there_again(
    run: Run, site: Site, drafts: Path
) -> None:
    run("promote", *SCOPE)
    before = {name: (drafts / name).read_bytes() for name in NAMES}
    third = site.world.revision("dev", 3)
    site.world.pin("dev", third.commit)
    file = manifest(3).by_path["model.safetensors"]
    path = site.world.store("dev").backend.local_path(f"blobs/sha256/{file.digest[7:]}")
    assert path
    path.write_bytes(b"x" * file.size)
    run("promote", *SCOPE, code=4)
    assert {name: (drafts / name).read_bytes() for name in NAMES} == before
    for name in NAMES:
        (drafts / name).unlink()
    run("promote", *SCOPE, code=4)
    assert not [path for path in drafts.iterdir() if path.name in NAMES]


def test_a_plan_that_loses_one_model_tells_of_those_that_moved(
    run: Run, site: Site, drafts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first pin stays, where somebody else was first with the next one."""
    site.policy()
    world = site.world
    world.pin("dev", str(world.stable("test")))
    five = world.revision("dev", 5, OTHER).commit
    for model in ("a", "b"):
        world.pin("dev", five, model, OTHER)
    seven = world.revision("test", 7, OTHER).commit
    copied = promote.copy

    def raced(*given: Any) -> Any:
        found = copied(*given)
        monkeypatch.setattr(promote, "copy", copied)
        held = world["test"].pins_path.read_bytes()
        world.pin("test", seven, "b", OTHER)
        world["test"].pins_path.write_bytes(held)
        return found

    monkeypatch.setattr(promote, "copy", raced)
    monkeypatch.setattr("waybill.release.apply.FRESH", timedelta(days=1))
    monkeypatch.setattr("waybill.release.apply.Application.later", lambda found, _: found)
    explicit = drafts.parent / "explicit"
    run("promote", *SCOPE, "--pull-request", str(explicit), code=7)
    assert (explicit / "title").read_text() == "Promote a from dev to test\n"
    assert "\nb: " not in (explicit / "commit").read_text()


def test_the_guide_s_commands_commit_a_first_promotion(run: Run, repository: Path) -> None:
    """The pins file is new to git then."""
    pinned = repository / "values/pins/test.yaml"
    git(repository, "rm", "--quiet", "--cached", str(pinned))
    git(repository, "commit", "--quiet", "--message", "Without pins of test")
    guide = (ROOT / "tools/docs/policy.md").read_text()
    block = guide.split("```bash\nwaybill promote --from test --to prod\n")[1].split("```")[0]
    run("promote", *SCOPE)
    subprocess.run(
        ["bash", "-euc", block.replace("prod", "test")],
        cwd=repository,
        check=True,
        env={**os.environ, **{f"GIT_{who}_{what}": "a@b" for who, what in WHO}},
    )
    assert git(repository, "log", "-1", "--format=%s") == "Promote chat from dev to test"
    assert git(repository, "show", "--format=", "--name-only") == "values/pins/test.yaml"


WHO = [(who, what) for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]


@pytest.mark.parametrize("command", ["promote", "plan", "apply"])
def test_what_ends_before_there_is_a_plan_is_told(
    run: Run, site: Site, reports: Reports, command: str
) -> None:
    for path in (reports.folder / "junit", reports.folder / "markdown"):
        path.write_text("of another run")
    words: tuple[str, ...] = SCOPE
    if command == "apply":
        run.plan()
        words = (str(run.file),)
    (site.project / "stores/test").rename(site.project / "stores/away")
    given = [word for word in reports.words if "pull-request" not in word]
    run(command, *words, *given, code=2)
    assert reports.failing.keys() == {"promotion"}
    assert ": stopped: " in (reports.folder / "markdown").read_text()


def test_a_rollout_that_cannot_begin_leaves_no_older_report(
    waybill: Waybill, site: Site, reports: Reports
) -> None:
    (reports.folder / "junit").write_text("of another run")
    words = ("--project", site.project, "--junit", reports.folder / "junit")
    assert waybill("watch", "nowhere", *words).code == 2
    assert reports.failing.keys() == {"watch"}


@pytest.fixture
def large(run: Run) -> Callable[[int], Plan]:
    """The plan of a site with so many models, of which one is denied, and a change of each."""
    made = run.plan()

    def build(count: int) -> Plan:
        models = {f"model-{at}": made["plan"]["models"]["chat"] for at in range(count)}
        gate = {"gate": "license", "result": "pass", "reason": "it is one " * 10}
        found = [
            {**gate, "model": name, "denies": False, "file": "p", "line": 1} for name in models
        ]
        found[-1] |= {"result": "fail", "denies": True}
        change = {"verb": "change", "kind": "Deployment", "name": "w", "lines": ["+ x" * 500] * 9}
        rendered = {"skipped": None, "changes": [change] * count}
        outlook = made["outlook"] | {"gates": found, "rendered": rendered, "changes": True}
        return Plan(made["plan"] | {"models": models}, outlook)

    return build


def test_a_report_fits_into_a_comment_however_much_there_is(large: Callable[[int], Plan]) -> None:
    assert "more in plan.json" not in plan_report.markdown(large(1))
    text = plan_report.markdown(large(300))
    assert len(text) < 65_536 / 2
    assert "| ❌ fail | license | model-299 |" in text, "what denies is not left out"
    assert text.count("more in plan.json") == 4
    assert text.count("```") % 2 == 0 and "</details>" in text
