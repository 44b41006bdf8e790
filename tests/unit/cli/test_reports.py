"""What a promotion leaves for machines and reviews, also where it is denied."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.unit.cli.test_plan_commands import ALWAYS, SCOPE, Run, policed, run, site
from tests.unit.release.site import Site
from tests.unit.release.test_apply import tree
from tests.unit.release.test_replay import Carry, Side, carry, inside, outside
from tests.unit.release.world import manifest
from waybill.release import apply, promote
from waybill.sign.trust import now

__all__ = ["carry", "inside", "outside", "policed", "run", "site"]  # Fixtures.

DENYING = [
    pytest.param({"repos": ["other/*"]}, "PromotionDenied", 3, "repo", id="denied"),
    pytest.param({"freeze": ALWAYS}, "Frozen", 6, "freeze", id="frozen"),
]


@pytest.mark.parametrize("command", ["promote", "apply"])
@pytest.mark.parametrize(("policy", "error", "code", "gate"), DENYING)
def test_error_of_one_that_is_denied_has_all_verdicts(
    run: Run, site: Site, policy: dict[str, Any], error: str, code: int, gate: str, command: str
) -> None:
    site.policy(**policy)
    made = run.plan()
    words = SCOPE if command == "promote" else (str(run.file),)
    told = run.json(command, *words, "--by", "carol", code=code)
    assert (told["code"], told["plan"]) == (error, made["digest"])
    assert told["gates"] == made["outlook"]["gates"]
    assert [one["gate"] for one in told["gates"] if one["denies"]] == [gate]


def test_signature_that_is_missing_is_told_with_its_gate(run: Run, site: Site) -> None:
    """Without a policy, trust alone denies."""
    site.trust("release")
    told = run.json("promote", *SCOPE, code=3)
    assert told["code"] == "Unsigned"
    assert [one["gate"] for one in told["gates"] if one["denies"]] == ["signature"]


@dataclass(frozen=True)
class Reports:
    """All that a promotion can leave, and the words that ask for it."""

    folder: Path

    @property
    def words(self) -> tuple[str, ...]:
        files = {name: str(self.folder / name) for name in ("markdown", "junit", "pull-request")}
        asked = [word for name, path in files.items() for word in (f"--{name}", path)]
        return (*asked, "--github-step-summary")

    @property
    def report(self) -> str:
        """The same for people, the run and the change."""
        text = (self.folder / "markdown").read_text()
        assert text == self.summary.read_text() == self.change("body.md")
        return text

    @property
    def headline(self) -> str:
        return next(line for line in self.report.splitlines() if line.startswith("## "))

    @property
    def summary(self) -> Path:
        return self.folder / "summary"

    def change(self, name: str) -> str:
        return (self.folder / "pull-request" / name).read_text()

    @property
    def failing(self) -> dict[str, str]:
        """Test cases that fail or could not be run, and what they say."""
        suite = ElementTree.parse(self.folder / "junit").getroot()  # noqa: S314 - made by the test
        bad = {case.get("name"): case for case in suite if case.get("name")}
        found = {name: [case.find("failure"), case.find("error")] for name, case in bad.items()}
        return {
            str(name): str(one.get("message"))
            for name, both in found.items()
            for one in both
            if one is not None
        }


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reports:
    found = Reports(tmp_path / "reports")
    found.folder.mkdir()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(found.summary))
    return found


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize("command", ["promote", "apply"])
@pytest.mark.parametrize(("policy", "error", "code", "gate"), DENYING)
def test_one_that_is_denied_leaves_its_reports(
    run: Run,
    site: Site,
    reports: Reports,
    policy: dict[str, Any],
    error: str,
    code: int,
    gate: str,
    command: str,
    dry: tuple[str, ...],
) -> None:
    site.policy(**policy)
    run.plan()
    words = SCOPE if command == "promote" else (str(run.file),)
    told = run.json(command, *words, *reports.words, *dry, code=code)
    assert told["code"] == error
    assert reports.headline == f"## dev → test: denied by {gate}"
    assert set(reports.failing) == {gate}
    assert reports.change("title") == "Promote chat from dev to test\n"


@pytest.mark.parametrize("command", ["promote", "apply"])
def test_one_that_is_made_says_so_in_its_reports(run: Run, reports: Reports, command: str) -> None:
    run.plan("--pull-request", str(reports.folder / "planned"))
    words = (*SCOPE, "--by", "carol") if command == "promote" else (str(run.file),)
    run(command, *words, *reports.words, "--dry-run")
    assert reports.headline == "## dev → test: may be applied"
    reports.summary.unlink()
    run(command, *words, *reports.words)
    assert reports.headline == "## dev → test: promoted"
    assert "3.0 kB are sent" in reports.report, "what it took, not what is left"
    assert reports.failing == {}
    for name in ("branch", "title", "commit"):
        assert reports.change(name) == (reports.folder / "planned" / name).read_text()
    reports.summary.unlink()
    if command == "promote":
        run(command, *words, *reports.words)
        assert reports.headline == "## dev → test: nothing to do"


def test_one_of_the_other_side_leaves_its_reports(
    inside: Side, outside: Side, carry: Carry, reports: Reports
) -> None:
    bundle = carry(1, tested=False)
    denied = inside.run("apply", bundle, *reports.words, code=3)
    assert [one["gate"] for one in denied["gates"] if one["denies"]] == ["evaluation"]
    assert reports.headline == "## dev → test: denied by evaluation"
    assert set(reports.failing) == {"evaluation"}
    reports.summary.unlink()
    bundle = carry(2)
    told = inside.run("apply", bundle, *reports.words)
    assert reports.headline == "## dev → test: promoted"
    assert "The target has all bytes." in reports.report
    assert f"Waybill-Plan: {told['plan']}" in reports.change("commit")
    assert inside.history() == outside.history()


def test_a_summary_is_added_to_once(run: Run, reports: Reports) -> None:
    run("promote", *SCOPE, "--github-step-summary")
    assert reports.summary.read_text().count("<!-- waybill plan dev test -->") == 1


def test_what_ends_it_between_gates_and_pins_is_told(
    run: Run, site: Site, reports: Reports
) -> None:
    file = manifest(2).by_path["model.safetensors"]
    path = site.world.store("dev").backend.local_path(f"blobs/sha256/{file.digest[7:]}")
    assert path
    path.write_bytes(b"x" * file.size)
    run("promote", *SCOPE, *reports.words, code=4)
    assert f"{file.digest} in " in reports.failing["promotion"]
    assert reports.headline.startswith("## dev → test: stopped: sha256:")
    assert site.world.stable("test") != site.commit()


def test_a_freeze_that_begins_meanwhile_is_told(
    run: Run, site: Site, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the gates see it at the end, in report, test cases and JSON."""
    year = now().year
    window = {"cron": "0 0 1 1 *", "duration": "1d", "timeZone": "UTC"}
    site.policy(freeze={"silvester": window})
    monkeypatch.setattr(apply, "now", lambda: datetime(year, 12, 31, tzinfo=UTC))
    copied = promote.copy

    def slow(*given: Any) -> Any:
        monkeypatch.setattr(apply, "now", lambda: datetime(year + 1, 1, 1, tzinfo=UTC))
        return copied(*given)

    monkeypatch.setattr(promote, "copy", slow)
    told = run.json("promote", *SCOPE, *reports.words, code=6)
    assert [one["gate"] for one in told["gates"] if one["denies"]] == ["freeze"]
    assert reports.headline == "## dev → test: denied by freeze"
    assert set(reports.failing) == {"freeze"}


@pytest.mark.parametrize("option", ["--markdown", "--junit", "--pull-request"])
def test_reports_that_cannot_be_written_move_nothing(
    run: Run, site: Site, reports: Reports, option: str
) -> None:
    reports.summary.write_text("a file, not a folder")
    before = tree(site.project)
    run("promote", *SCOPE, option, str(reports.summary / "report"), code=2)
    assert tree(site.project) == before


def test_where_no_run_shows_a_summary_nothing_moves(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    before = tree(site.project)
    told = run.json("promote", *SCOPE, "--github-step-summary", code=2)
    assert "GITHUB_STEP_SUMMARY names no file" in told["message"]
    assert tree(site.project) == before


def test_an_error_is_not_hidden_by_a_report_that_cannot_be_written(
    run: Run, site: Site, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.policy(freeze=ALWAYS)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(reports.folder))
    told = run.json("promote", *SCOPE, "--github-step-summary", code=6)
    assert told["code"] == "Frozen"
    assert f"warning: {reports.folder} cannot be used: Is a directory" in run.said
