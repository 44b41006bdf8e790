"""plan, approve, apply, promote and hold as people and CI run them."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.printed import printed
from tests.unit.release.site import NAMES, Site, new_site
from tests.unit.release.test_apply import tree
from tests.unit.release.world import OTHER, REPO
from tests.unit.sign.making import signer, write_key
from waybill.cli import plan_report
from waybill.cli.main import main
from waybill.release import outlook
from waybill.release.plan import Plan
from waybill.release.plan_schema import SCHEMA
from waybill.release.policy import Policy

ROOT = Path(__file__).parents[3]
ALWAYS = {"always": {"cron": "* * * * *", "duration": "1d", "timeZone": "UTC"}}
SCOPE = ("--from", "dev", "--to", "test")


@pytest.fixture(scope="module")
def policed(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return new_site(tmp_path_factory.mktemp("policed") / "project")


@pytest.fixture
def site(policed: Site, tmp_path: Path) -> Site:
    shutil.copytree(policed.project, tmp_path / "site")
    return Site(tmp_path / "site", policed.keys)


class Run:
    """One command in the site's project."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self.site, self._capsys, self.said = site, capsys, ""
        self.file = site.project.parent / "plan.json"

    def __call__(self, *words: str, code: int = 0) -> str:
        self._capsys.readouterr()
        assert main([*map(str, words), "--project", str(self.site.project)]) == code, self.told()
        return self.told()

    def told(self) -> str:
        out, self.said = self._capsys.readouterr()
        return out

    def json(self, *words: str, code: int = 0) -> Any:
        answer = printed(self(*words, "--json", code=code))
        assert answer["command"] == words[0]
        return answer.get("result") or answer["error"]

    def plan(self, *words: str, code: int = 0) -> Any:
        self("plan", *SCOPE, "--out", str(self.file), "--by", "carol", *words, code=code)
        return json.loads(self.file.read_text())

    def key(self, name: str) -> str:
        private = self.site.keys[name].private
        return str(write_key(self.site.project.parent / f"{name}.pem", private))


@pytest.fixture
def run(site: Site, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(site, capsys)


def test_from_plan_over_approvals_to_prod_like_test(run: Run, site: Site) -> None:
    site.policy(approvals={"count": 2, "of": ["alice", "bob"]}, licenses=["Apache-2.0"])
    site.license("apache-2.0")
    made = run.plan()
    said = run("apply", str(run.file), code=3)
    assert said == ""
    assert "approvals (values/policy.yaml:4): 0 of 2 have approved sha256:" in run.said
    for name in ("alice", "bob"):
        told = run("approve", str(run.file), "--key", run.key(name), "--by", name)
        moves, approved = told.splitlines()
        assert (
            moves.startswith("chat in test: ")
            and made["plan"]["models"]["chat"]["commit"][:8] in moves
        )
        assert approved == f"approved {made['digest']} as {name}: 1 model for test"
    told = run("apply", str(run.file), "--why", "CHG-1")
    assert told.startswith("chat in test: moved from ")
    assert site.world.stable("test") == site.commit()
    assert site.world.records("test")[0].plan == made["digest"]
    assert "stands at" in run("apply", str(run.file))


def test_store_of_a_single_writer_takes_approvals(run: Run, site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    facts = site.project / "stores/test/store.json"
    facts.write_text(facts.read_text().replace("true", "false"))
    run.plan("--single-writer")
    words = ("approve", str(run.file), "--key", run.key("alice"), "--by", "alice")
    assert "--single-writer" in run.json(*words, code=2)["hint"]
    assert run.json(*words, "--single-writer")["countsAs"] == ["alice"]


def test_key_that_does_not_count_is_told(run: Run, site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    run.plan()
    for key, by in (("ci", "ci"), ("alice", "carol")):
        told = run.json("approve", str(run.file), "--key", run.key(key), "--by", by)
        assert told["countsAs"] == []
        run("apply", str(run.file), code=3)


def test_plan_is_as_its_schema_says_and_canonical(run: Run, site: Site) -> None:
    site.policy(soak="1d", freeze=ALWAYS)
    run.site.world.pin("dev", site.commit(), "draft")
    made = run.plan()
    Draft202012Validator(SCHEMA).validate(made)
    assert made == run.json("plan", *SCOPE, "--by", "carol") | {"outlook": made["outlook"]}
    chat = made["plan"]["models"]["chat"]
    assert (chat["repo"], chat["commit"]) == (str(REPO), site.commit())
    assert chat["previous"] == site.world.stable("test")
    assert made["outlook"]["bytes"] == 3013
    assert made["outlook"]["missing"] == {"chat": 3013, "draft": 3013}
    assert made["outlook"]["seconds"] == 1
    assert "there is no" in made["outlook"]["rendered"]["skipped"]
    soak = next(one for one in made["outlook"]["gates"] if one["gate"] == "soak")
    assert (soak["result"], soak["file"], soak["line"]) == ("fail", "values/policy.yaml", 4)


def test_engine_arguments_of_the_target_are_shown(run: Run, site: Site) -> None:
    arguments = {"max-model-len": 4096, "dtype": "auto"}
    entry = {"engineArgs": arguments, "profile": "l40s", "enabled": True}
    text = yaml.safe_dump({"global": {"models": {"chat": entry}}})
    (site.project / "values/test.yaml").write_text(text)
    shown = run.plan()["plan"]["models"]["chat"]["values"]
    assert shown == {"engineArgs": arguments, "profile": "l40s"}
    report = plan_report.markdown(Plan.load(run.file))
    assert '| dtype: "auto", max-model-len: 4096 |' in report
    (site.project / "values/test.yaml").write_text(text.replace("4096", "8192"))
    run("apply", str(run.file), code=7)
    assert "the target's values file changed" in run.said


def test_signers_and_licenses_are_shown(run: Run, site: Site) -> None:
    site.license("mit")
    site.sign("release")
    chat = run.plan()["plan"]["models"]["chat"]
    assert (chat["licenses"], chat["signers"]) == (["MIT"], ["release"])


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({}, 5),
        ({"freeze": ALWAYS}, 6),
        ({"repos": ["other/*"]}, 3),
        ({"repos": ["other/*"], "freeze": ALWAYS}, 3),
    ],
)
def test_exit_code_says_what_would_happen_when_asked(
    run: Run, site: Site, policy: dict[str, Any], code: int
) -> None:
    site.policy(**policy)
    run.plan()
    run.plan("--detailed-exitcode", code=code)
    expected = {5: 0}.get(code, code)
    run("apply", str(run.file), code=expected)
    run("promote", *SCOPE, code=expected)


def test_nothing_to_do_is_no_change_whatever_gates_say(run: Run, site: Site) -> None:
    run("promote", *SCOPE)
    site.policy(freeze=ALWAYS)
    run.plan("--detailed-exitcode")
    assert "stands at" in run("promote", *SCOPE)


@pytest.mark.parametrize("words", [("plan",), ("promote", "--dry-run")])
def test_looking_changes_nothing(run: Run, site: Site, words: tuple[str, ...]) -> None:
    site.policy(bytes="deep")
    before = tree(site.project)
    run(words[0], *SCOPE, *words[1:])
    run.plan()
    run("apply", str(run.file), "--dry-run")
    assert tree(site.project) == before


def test_freeze_is_overridden_with_a_reason_that_is_kept(run: Run, site: Site) -> None:
    site.policy(freeze=ALWAYS)
    run("promote", *SCOPE, code=6)
    assert "error: test is frozen by " in run.said
    assert "by always in values/policy.yaml:" in run.said
    run("promote", *SCOPE, "--override-freeze", "CVE", "--why", "leak")
    assert site.world.records("test")[0].why == "leak; freeze overridden: CVE"


def test_rollback_holds_and_release_lets_go(run: Run, site: Site) -> None:
    site.policy()
    run("promote", *SCOPE)
    run("rollback", "test", "chat", "--by", "dora", "--why", "slow")
    assert "on hold" in run("status")
    head, *rows = run("history", "chat", "--env", "test").splitlines()
    assert head.split() == ["ENV", "COMMIT", "WHEN", "BY", "PLAN", "HOLD", "WHY"]
    assert ["on hold" in row for row in rows] == [True, False, False]
    assert "on hold; slow" in run("evidence", "chat", "--env", "test")
    run("promote", *SCOPE, code=3)
    assert "hold of chat (values/policy.yaml:3): held by dora since " in run.said
    told = run.json("hold", "release", "test", "chat", "--by", "eve", "--why", "mended")
    assert (told["held"]["by"], told["held"]["why"]) == ("dora", "slow")
    assert "on hold" not in run("status")
    steps = run.json("history", "chat", "--env", "test")["environments"]["test"]
    assert [each["hold"] for each in steps] == [False, True, False, False]
    run("promote", *SCOPE)
    assert "is not on hold" in run.json("hold", "release", "test", "chat", code=2)["message"]
    run("hold", "release", "test", "other", code=2)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_person_at_a_terminal_is_asked_once(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    old = str(site.world.stable("test"))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    run("promote", *SCOPE, code=code)
    asked = f"chat in test: {old[:8]} → Acme/Chat@{site.commit()[:8]}\npromote? [y/N] "
    assert run.said.startswith(asked)
    assert (site.world.stable("test") == site.commit()) is (code == 0)


def test_nobody_is_asked_for_nothing_nor_after_yes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    run("promote", *SCOPE, "--dry-run")
    run("promote", *SCOPE, "--yes")
    run("promote", *SCOPE)
    assert "promote?" not in run.said


def test_report_for_people_holds_no_markup_of_others(run: Run, site: Site) -> None:
    site.policy(repos=["other/*"])
    site.license("<img src=x>|`oops`@team\u202e\x1b[2J")
    file = site.project.parent / "out/plan.md"
    run.plan("--markdown", str(file))
    text = file.read_text()
    assert text.startswith("<!-- waybill plan dev test -->\n\n## dev → test: denied by repo\n")
    assert (
        "| ❌ fail | repo | chat | Acme/Chat is none of other/\\* | values/policy.yaml:4 |" in text
    )
    assert "\\<img src=x\\>\\|\\`oops\\`\\@team" in text
    assert all(sign.isprintable() for line in text.splitlines() for sign in line)
    assert "3.0 kB are sent, about 1 s at 100.0 MB a second." in text
    assert "Plan `sha256:" in text


def test_gates_are_test_cases_for_machines(run: Run, site: Site) -> None:
    site.policy(repos=["other/*"], gates={"scan": {"command": ["./missing"]}})
    file = site.project.parent / "gates.xml"
    run.plan("--junit", str(file))
    suite = ElementTree.fromstring(file.read_text())  # noqa: S314 - made above
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("12", "1", "1")
    failed = next(case for case in suite if case.find("failure") is not None)
    assert failed.attrib == {
        "classname": "waybill.dev.test.chat",
        "name": "repo",
        "file": "values/policy.yaml",
        "line": "4",
    }
    assert [case.get("name") for case in suite if case.find("error") is not None] == ["scan"]


def test_gate_that_is_asked_for_and_skipped_fails_for_machines(run: Run, site: Site) -> None:
    site.policy(require=["soak"])
    xml, markdown = (site.project.parent / name for name in ("gates.xml", "plan.md"))
    run.plan("--junit", str(xml), "--markdown", str(markdown))
    suite = ElementTree.fromstring(xml.read_text())  # noqa: S314 - made above
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["soak"]
    assert suite.get("failures") == "1"
    assert suite.get("skipped") == str(sum(case.find("skipped") is not None for case in suite))
    assert "| ❌ skip | soak |" in markdown.read_text()


def test_summary_of_a_run_is_added_to(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = site.project.parent / "summary.md"
    file.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    run.plan("--github-step-summary")
    assert file.read_text().startswith("# before\n<!-- waybill plan dev test -->")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    run.plan("--github-step-summary", code=2)


def test_texts_of_a_change_need_no_forge(run: Run, site: Site) -> None:
    folder = site.project.parent / "change"
    made = run.plan("--pull-request", str(folder))
    old, new = str(site.world.stable("test"))[:8], site.commit()[:8]
    assert (folder / "branch").read_text() == f"waybill/dev-test-{made['digest'][7:15]}\n"
    assert (folder / "title").read_text() == "Promote chat from dev to test\n"
    assert (folder / "commit").read_text() == (
        f"Promote chat from dev to test\n\nchat: {old} -> {new}\n\nWaybill-Plan: {made['digest']}\n"
    )
    assert (folder / "body.md").read_text() == plan_report.markdown(Plan.load(run.file))


def test_what_the_cluster_would_see_is_shown_and_cut(run: Run) -> None:
    made = run.plan()
    lines = [f"+line {number:04} ````" for number in range(1000)]
    change = {"verb": "change", "kind": "Deployment", "name": "chat", "lines": lines}
    made["outlook"]["rendered"] = {"skipped": None, "changes": [change]}
    run.file.write_text(json.dumps(made))
    text = plan_report.markdown(Plan.load(run.file))
    assert "- change Deployment chat" in text
    assert "`````diff\n# Deployment chat\n+line 0000 ````\n" in text
    left = 1000 - text.count("+line ")
    assert 0 < left < 500
    assert f"… {left} lines more in plan.json\n`````" in text


def test_models_are_named_or_all(run: Run, site: Site) -> None:
    world = site.world
    world.pin("dev", world.revision("dev", 5, OTHER).commit, "embed", OTHER)
    assert set(run.plan()["plan"]["models"]) == {"chat", "embed"}
    assert set(run.plan("embed")["plan"]["models"]) == {"embed"}
    run("apply", str(run.file))
    assert site.world.stable("test", "embed")
    assert site.world.stable("test") != site.commit()


def test_sample_is_a_policy(site: Site) -> None:
    """With the keys that it speaks of."""
    site.keys["carol"] = signer()
    site.trust()
    assert {*NAMES, "carol"} == set(site.keys)
    file = site.project / "values/environments.yaml"
    value = yaml.safe_load(file.read_text())
    value["environments"]["prod"]["trust"] = value["environments"]["test"]["trust"]
    file.write_text(yaml.safe_dump(value, sort_keys=False))
    shutil.copy(ROOT / "values/samples/policy.yaml", site.project / "values/policy.yaml")
    policy = Policy.load(site.environments)
    assert policy.rules("prod").keys == {"release", "watch", "ci", "alice", "bob", "carol"}
    assert {policy.rules(name).promoted_by for name in ("test", "prod")} == {frozenset({"release"})}
    assert [one.name for one in policy.windows] == ["weekend", "end-of-year"]


def test_a_plan_waits_for_nothing_that_only_registries_and_media_need() -> None:
    program = (
        "import sys; from waybill.cli.main import parser; parser('promote'); "
        "print({'httpx2', 'boto3', 'kubernetes', 'waybill.bundle.media'} & sys.modules.keys())"
    )
    words = [sys.executable, "-c", program]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_what_helm_says_is_shown_without_credentials(site: Site) -> None:
    (site.project / "values/test.yaml").write_text("global: {}\n")
    rendered = outlook.render(site.prepare().promotion, Path("charts/password=hunter22"))
    assert "password=(hidden)" in rendered["skipped"] and not rendered["changes"]
