"""`waybill attest` as people and pipelines run it: any command, its result signed and kept."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.printed import printed
from tests.unit.release.world import REPO, World
from tests.unit.sign.making import ed25519_key, write_key
from waybill.cli.main import main
from waybill.release.evidence import gather
from waybill.sign.keys import Signer
from waybill.sign.predicates import Outcome, Trial

REPORT = """<testsuites><testsuite name="s">
<testcase classname="chat" name="greets"/>
<testcase classname="chat" name="counts">{}</testcase>
<testcase name="later"><skipped/></testcase>
</testsuite></testsuites>"""


class Command:
    """`waybill attest chat --env dev …` with a key, in this process."""

    def __init__(self, model: World, key: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.world, self._key, self._capfd = model, key, capfd
        self.out = self.err = ""

    def __call__(self, *words: object, model: str = "chat", code: int = 0) -> dict[str, Any]:
        own = ("--env", "dev", "--name", "acceptance", "--key", self._key, "--json")
        given = ["attest", model, *own, "--project", self.world.project, *words]
        assert main([str(word) for word in given]) == code
        self.out, self.err = self._capfd.readouterr()
        result: dict[str, Any] = printed(self.out).get("result", {})
        return result

    @property
    def kept(self) -> list[Trial]:
        commit = str(self.world.stable("dev"))
        found = gather(self.world.store("dev"), REPO, commit, None)
        return [one.parsed for one in found if isinstance(one.parsed, Trial) and one.signed]


@pytest.fixture
def attest(model: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(model, write_key(tmp_path / "key.pem", ed25519_key()), capfd)


def python(text: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", text)


def reporting(path: Path, more: str, code: int = 0) -> tuple[str, ...]:
    """A test that writes a JUnit report and ends with `code`."""
    text = f"import pathlib, sys; pathlib.Path({str(path)!r}).write_text({REPORT.format(more)!r})"
    return ("--junit", str(path), *python(f"{text}; sys.exit({code})"))


def test_a_test_that_ends_well_is_kept_signed(attest: Command, tmp_path: Path) -> None:
    told = attest(*python("print('said')"))
    (kept,) = attest.kept
    assert told["predicate"] == kept.as_json()
    assert (kept.result, kept.name, kept.environment) == (Outcome.PASSED, "acceptance", "dev")
    assert (kept.model, kept.measured["exitCode"]) == ("chat", 0)
    assert told["commit"] == attest.world.stable("dev")
    assert told["keyId"] == Signer.load(tmp_path / "key.pem").key_id
    assert attest.err == "said\n" and attest.out.count("\n") == 1


@pytest.mark.parametrize("code", [1, 3, 77])
def test_the_exit_code_is_the_tests_and_its_failure_is_kept(attest: Command, code: int) -> None:
    attest(*python(f"raise SystemExit({code})"), code=code)
    (kept,) = attest.kept
    assert (kept.result, kept.measured["exitCode"]) == (Outcome.FAILED, code)


def test_a_test_that_a_signal_ends_has_failed(attest: Command) -> None:
    attest(*python("import os; os.kill(os.getpid(), 9)"), code=137)
    assert attest.kept[0].result is Outcome.FAILED


def test_the_cases_of_a_report_are_counted(attest: Command, tmp_path: Path) -> None:
    attest(*reporting(tmp_path / "junit.xml", ""))
    (kept,) = attest.kept
    assert (kept.passed, kept.failed) == (("chat.greets", "chat.counts"), ())
    assert kept.measured["skipped"] == 1
    assert [one["name"] for one in kept.configuration] == ["command", "junit"]


@pytest.mark.parametrize(("more", "code"), [("<failure/>", 0), ("<error/>", 0), ("<failure/>", 5)])
def test_a_case_that_failed_fails_the_test(
    attest: Command, tmp_path: Path, more: str, code: int
) -> None:
    attest(*reporting(tmp_path / "junit.xml", more, code), code=code or 3)
    (kept,) = attest.kept
    assert (kept.result, kept.failed) == (Outcome.FAILED, ("chat.counts",))


def test_a_report_without_a_case_that_passed_is_a_warning(attest: Command, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    text = f"import pathlib; pathlib.Path({str(path)!r}).write_text('<testsuites/>')"
    attest("--junit", path, *python(text))
    assert attest.kept[0].result is Outcome.WARNED


def test_a_report_of_yesterday_is_none_of_today(attest: Command, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(REPORT.format(""))
    attest("--junit", path, *python("pass"), code=2)
    assert "was not written by the test" in attest.err
    assert attest.kept == []
    attest("--junit", path, *python("raise SystemExit(1)"), code=1)
    assert (attest.kept[0].result, attest.kept[0].passed) == (Outcome.FAILED, ())


@pytest.mark.parametrize("text", ["", "no xml", "<a><b></a>"])
def test_what_is_no_report_is_an_error(attest: Command, tmp_path: Path, text: str) -> None:
    path = tmp_path / "junit.xml"
    attest("--junit", path, *python(f"open({str(path)!r}, 'w').write({text!r})"), code=2)
    assert "is no JUnit report" in attest.err and attest.kept == []


def test_the_test_is_told_what_it_tests_and_never_the_passphrase(
    attest: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_KEY_PASSPHRASE", "open sesame")
    out = tmp_path / "env.json"
    told = attest(*python(f"import json, os; json.dump(dict(os.environ), open({str(out)!r}, 'w'))"))
    env = json.loads(out.read_text())
    assert env["WAYBILL_COMMIT"] == told["commit"] and env["WAYBILL_DIGEST"] == told["digest"]
    assert (env["WAYBILL_ENVIRONMENT"], env["WAYBILL_MODEL"]) == ("dev", "chat")
    assert env["WAYBILL_REPO"] == str(REPO)
    assert "open sesame" not in out.read_text() and env["PATH"] == os.environ["PATH"]


def test_credentials_of_the_command_line_are_not_kept(attest: Command) -> None:
    attest(*python("pass"), "--api-key=abcdef123456", "Authorization: Bearer abcdef123456")
    text = json.dumps(attest.kept[0].as_json())
    assert "--api-key" in text and "abcdef" not in text


def test_a_revision_may_be_named_that_is_not_pinned(attest: Command) -> None:
    world = attest.world
    pinned = [world.stable("dev"), world.records("dev")[-1].commit]
    other = world.revision("dev", 3).commit
    assert other not in pinned
    told = attest(*python("pass"), model=f"{REPO}@{other}")
    assert (told["commit"], told["predicate"]["model"]) == (other, "")
    told = attest(*python("pass"), model=f"{REPO}@{pinned[0]}")
    assert told["predicate"]["model"] == "chat"


@pytest.mark.parametrize(
    ("named", "words", "said"),
    [
        ("chat", (), "give one of them"),
        ("chat", ("--smoke", "http://a", "--", "true"), "give one of them"),
        ("embed", ("--", "true"), "no model 'embed' is pinned in dev"),
        ("Acme/Chat", ("--", "true"), "must be MODEL or OWNER/NAME@COMMIT"),
        ("Acme/Chat@main", ("--", "true"), "has no revision 'main'"),
        ("chat", ("--", "/no/such/program"), "'/no/such/program' cannot be run"),
        ("chat", ("--smoke", "ftp://a"), "'ftp://a' is not usable"),
        ("chat", ("--smoke", "http://me:secret@a"), "'a' is not usable"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    attest: Command, named: str, words: tuple[str, ...], said: str
) -> None:
    (attest.world.project / "values/smoke.yaml").write_text("questions: {one: {ask: x, expect: y}}")
    attest(*words, model=named, code=2)
    assert said in attest.err and "secret" not in attest.err
    assert attest.kept == []
