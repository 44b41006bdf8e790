"""Reports say what the last look saw, and how it ended, whatever it was that ended it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Waybill
from tests.unit.cli.test_change import NAMES, git, repository
from tests.unit.cli.test_drift_command import EXPECTED, INSIDE, expected
from tests.unit.cli.test_plan_commands import ALWAYS, SCOPE, Run, policed, run, site
from tests.unit.cli.test_reports import Reports, reports
from tests.unit.cli.test_watch_command import BAD, WELL, told
from tests.unit.release.site import Site
from tests.unit.release.test_apply import tree
from tests.unit.release.test_apply_faults import approved_and_begun
from waybill.errors import ClusterUnreachable
from waybill.release import promote

__all__ = ["expected", "policed", "reports", "repository", "run", "site", "told"]  # Fixtures.


def gates(found: Any) -> dict[str, str]:
    return {one["gate"]: one["result"] for one in found["gates"]}


def test_what_was_sent_is_judged_as_it_arrived(run: Run, site: Site, reports: Reports) -> None:
    """Before the first byte nobody could read the bytes in the target."""
    site.policy(bytes="deep", require=["bytes"])
    assert gates(run.json("promote", *SCOPE, "--dry-run"))["bytes"] == "skip"
    assert gates(run.json("promote", *SCOPE, *reports.words))["bytes"] == "pass"
    assert "| ✅ pass | bytes | chat |" in reports.report


def test_what_was_begun_is_denied_by_no_gate(
    run: Run, site: Site, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved_and_begun(site, monkeypatch)
    site.policy(freeze=ALWAYS)
    told = run.json("promote", *SCOPE, *reports.words)
    assert gates(told)["freeze"] == "skip"
    assert not [one for one in told["gates"] if one["denies"]]
    assert reports.headline == "## dev → test: promoted"
    assert "begun when it was allowed, and finished; by now: " in reports.report
    assert reports.failing == {}


def test_a_plan_that_fits_no_more_says_so(run: Run, site: Site, reports: Reports) -> None:
    run.plan()
    site.policy(soak="1s")
    before = tree(site.project)
    told = run.json("apply", str(run.file), *reports.words, code=7)
    assert told["code"] == "PlanOutdated"
    assert reports.headline.startswith("## dev → test: stopped: ")
    assert "values/policy.yaml changed" in reports.failing["promotion"]
    assert tree(site.project) == before


def test_a_defect_of_ours_leaves_no_report_that_it_may_be_applied(
    run: Run, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("chat")

    monkeypatch.setattr(promote, "copy", broken)
    with pytest.raises(LookupError):
        run("promote", *SCOPE, *reports.words)
    assert reports.headline == "## dev → test: stopped: LookupError('chat')"
    assert set(reports.failing) == {"promotion"}


@pytest.fixture
def drafts(repository: Path) -> Path:
    return repository / ".git/waybill/test"


def test_texts_of_a_change_are_there_unasked(run: Run, repository: Path, drafts: Path) -> None:
    """Where git keeps its own drafts: no status shows them."""
    run("promote", *SCOPE, "--dry-run")
    run("rollback", "test", "chat", "--dry-run", code=2)
    assert not drafts.exists()
    run("promote", *SCOPE)
    assert f"body.md of the change are in {drafts}" in run.said
    assert sorted(path.name for path in drafts.iterdir() if path.name[0] != ".") == NAMES
    assert "dev → test: promoted" in (drafts / "body.md").read_text()
    assert git(repository, "status", "--porcelain") == "M values/pins/test.yaml"
    git(repository, "commit", "--quiet", "--all", "--file", str(drafts / "commit"))
    assert git(repository, "log", "-1", "--format=%s") == "Promote chat from dev to test"
    (drafts / "commit").unlink()
    run("promote", *SCOPE)
    assert not (drafts / "commit").exists(), "nothing has changed"
    run("rollback", "test", "chat")
    assert (drafts / "title").read_text().startswith("Roll back chat in test to ")


def test_texts_of_a_change_in_a_worktree_are_its_own(
    run: Run, repository: Path, drafts: Path, tmp_path: Path
) -> None:
    """As git's own: `.git` is a file there, which names the folder."""
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "--quiet", str(tree))
    (tree / "stores").symlink_to(repository / "stores")
    words = [
        "git",
        "-C",
        str(tree),
        "rev-parse",
        "--path-format=absolute",
        "--git-path",
        "waybill/test",
    ]
    own = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    run.site = Site(tree, run.site.keys)
    run("promote", *SCOPE)
    assert (Path(own) / "title").read_text() == "Promote chat from dev to test\n"
    assert not drafts.exists()


def test_a_place_without_git_is_left_as_it_is(run: Run, site: Site) -> None:
    before = set(tree(site.project))
    run("promote", *SCOPE)
    assert "body.md" not in run.said
    assert not [path for path in set(tree(site.project)) - before if "title" in str(path)]


@pytest.mark.parametrize("outcome", [WELL, BAD])
def test_a_rollout_leaves_reports(told: Any, reports: Reports, outcome: Any) -> None:
    ran, _ = told(outcome, *reports.words)
    line = ran.out.strip()
    assert reports.failing == ({"chat": outcome.why} if outcome.why else {})
    assert (reports.folder / "markdown").read_text() == f"## Rollout in dev\n\n- {line}\n"
    assert reports.summary.read_text().count("## Rollout in dev") == 1


def test_a_rollout_that_is_stopped_says_so(told: Any, reports: Reports) -> None:
    ran, _ = told(ClusterUnreachable(where="c", why="no route"), *reports.words)
    assert ran.code == 7
    assert reports.failing == {"watch": "the cluster c cannot be reached: no route"}
    assert (reports.folder / "markdown").read_text() == (
        "## Rollout in dev\n\n- stopped: the cluster c cannot be reached: no route\n"
    )


def test_a_rollout_that_cannot_be_told_is_not_begun(told: Any, reports: Reports) -> None:
    reports.summary.write_text("a file, not a folder")
    with pytest.raises(IndexError):
        told(WELL, "--junit", str(reports.summary / "junit"))


def test_drift_leaves_reports(waybill: Waybill, expected: Path, reports: Reports) -> None:
    words = [word for word in reports.words if "pull-request" not in word]
    waybill("drift", "--expected", expected, *INSIDE, *words)
    (told,) = reports.failing.items()
    assert told[0] == "Deployment w-hub spec.replicas"
    assert "spec.replicas: 2 expected, 1 found" in told[1]
    report = (reports.folder / "markdown").read_text()
    assert report.splitlines()[0] == "## Drift in w: 1 difference"
    assert report == reports.summary.read_text()
    expected.write_text(EXPECTED.replace("2", "1"))
    waybill("drift", "--expected", expected, *INSIDE, *words)
    assert reports.failing == {}
    assert (reports.folder / "markdown").read_text() == "## Drift in w: no difference\n"


def test_drift_that_could_not_look_is_a_test_that_could_not_run(
    waybill: Waybill, tmp_path: Path, reports: Reports
) -> None:
    words = [word for word in reports.words if "pull-request" not in word]
    assert waybill("drift", "--expected", tmp_path / "none", *INSIDE, *words).code != 0
    assert reports.failing.keys() == {"drift"}
    assert ": stopped: " in (reports.folder / "markdown").read_text()
