"""What the steps share, against a real git repository: pins, changes, secrets, comments."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.pipelines.conftest import SAMPLES, git_repository
from tests.unit.release.world import new_world
from tests.unit.sign.making import ed25519_key, write_key
from waybill.cli.main import parser

PINS = "values/pins/prod.yaml"


def git(place: Path, *words: str) -> str:
    person = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", "-C", str(place), *words],
        env={**os.environ, **person},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(place: Path, path: str, text: str) -> str:
    (place / path).parent.mkdir(parents=True, exist_ok=True)
    (place / path).write_text(text)
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", path)
    git(place, "push", "--quiet", "origin", "HEAD:main")
    return git(place, "rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    place = tmp_path / "origin.git"
    place.mkdir()
    git(place, "init", "--quiet", "--bare", "-b", "main")
    git(place, "config", "receive.advertisePushOptions", "true")
    first = clone(place, "first")
    commit(first, PINS, "before\n")
    return place


def clone(origin: Path, name: str) -> Path:
    place = origin.parent / name
    git(origin, "clone", "--quiet", str(origin), str(place))
    return place


def bash(place: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A script that begins as every step does."""
    return subprocess.run(
        ["bash", "-c", f"source {SAMPLES}/steps/common.sh\n{script}"],
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place.parent), "LANG": "C.UTF-8", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def change(place: Path) -> Path:
    """New pins that nobody has committed, and the words for them."""
    (place / PINS).write_text("after\n")
    words = place / "out/change"
    words.mkdir(parents=True)
    for name in ("branch", "title", "commit", "body.md"):
        (words / name).write_text(f"{'waybill/test-prod-1' if name == 'branch' else name}\n")
    return words


def test_pins_are_put_behind_what_was_pushed_meanwhile(origin: Path) -> None:
    place, other = clone(origin, "place"), clone(origin, "other")
    change(place)
    theirs = commit(other, "values/pins/test.yaml", "theirs\n")
    done = bash(place, "publish out/change")
    assert done.returncode == 0, done.stderr
    assert git(origin, "show", f"main:{PINS}") == "after"
    assert git(origin, "rev-parse", "main~1") == theirs
    assert git(origin, "log", "-1", "--format=%s", "main") == "commit"


def test_a_branch_that_takes_nothing_ends_with_a_sentence(origin: Path) -> None:
    place = clone(origin, "place")
    change(place)
    hook = origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = git(origin, "rev-parse", "main")
    done = bash(place, "publish out/change")
    assert done.returncode == 1 and "error: the pins cannot be pushed to main" in done.stderr
    assert git(origin, "rev-parse", "main") == before


def test_nothing_is_committed_where_pins_stay(origin: Path) -> None:
    place = clone(origin, "place")
    before = git(origin, "rev-parse", "main")
    done = bash(place, "publish out/change")
    assert done.returncode == 0 and "the pins stay as they are" in done.stderr
    assert git(origin, "rev-parse", "main") == before


def test_a_change_comes_on_a_branch_of_its_own(origin: Path) -> None:
    place = clone(origin, "place")
    change(place)
    done = bash(place, "publish out/change", WAYBILL_CHANGES="true")
    assert done.returncode == 0, done.stderr
    assert git(origin, "show", f"waybill/test-prod-1:{PINS}") == "after"
    assert git(origin, "show", f"main:{PINS}") == "before"


def test_gitlab_is_told_by_options_of_the_push(origin: Path) -> None:
    place = clone(origin, "place")
    change(place)
    hook = origin / "hooks/pre-receive"
    hook.write_text('#!/bin/sh\nset | grep "^GIT_PUSH_OPTION_[0-9]" | sort > told\n')
    hook.chmod(0o755)
    done = bash(place, "publish out/change", WAYBILL_CHANGES="true", GITLAB_CI="true")
    assert done.returncode == 0, done.stderr
    told = (origin / "told").read_text().replace("'", "").splitlines()
    assert [line.partition("=")[2] for line in told] == [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.title=title",
    ]


def stand_in(place: Path, name: str, more: str = "") -> str:
    """A program that notes what it is called with, as no forge is here; the PATH with it."""
    folder = place.parent / "tools"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {folder}/told\n{more}\n')
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("forge", "tool", "words"),
    [
        (
            "GITHUB_ACTIONS",
            "gh",
            ["pr", "comment", "12", "--edit-last", "--create-if-none", "--body-file", "report"],
        ),
        ("GITLAB_CI", "glab", ["mr", "note", "12", "--unique", "--message", "# Report"]),
    ],
)
def test_a_report_becomes_a_comment_where_the_tool_is(
    forge: str, tool: str, words: list[str], origin: Path
) -> None:
    place = clone(origin, "place")
    (place / "report").write_text("# Report\n")
    summary = place.parent / "summary"
    run = f"{SAMPLES}/steps/comment report"
    env = {forge: "true", "WAYBILL_CHANGE": "12", "GITHUB_STEP_SUMMARY": str(summary)}
    done = bash(place, run, **{**env, "PATH": stand_in(place, tool)})
    assert done.returncode == 0, done.stderr
    assert (place.parent / "tools/told").read_text().splitlines() == words
    assert summary.read_text() == "# Report\n"


def test_a_report_that_no_forge_would_take_is_cut(origin: Path) -> None:
    place = clone(origin, "place")
    (place / "report").write_text("# Report\n" + "→ a line\n" * 20_000)
    sent = place.parent / "tools/sent"
    path = stand_in(place, "gh", f'eval "cp \\${{$#}} {sent}"')
    env = {"GITHUB_ACTIONS": "true", "WAYBILL_CHANGE": "12", "PATH": path}
    done = bash(place, f"{SAMPLES}/steps/comment report", **env)
    assert done.returncode == 0, done.stderr
    lines = sent.read_text().splitlines()
    assert 60_000 < sent.stat().st_size < 65_000
    assert lines[-1] == "… the rest is kept with the run: report"
    assert set(lines[1:-2]) == {"→ a line"}


def test_a_secret_is_in_a_private_file_and_nowhere_else(origin: Path) -> None:
    place = clone(origin, "place")
    script = (
        'secret KEY; stat -c %a "$file"; cat "$file"; env | grep -c "^KEY=" || true; echo "$file"'
    )
    done = bash(place, script, KEY="of two\nlines")
    mode, *text, count, path = done.stdout.splitlines()
    assert (mode, text, count) == ("600", ["of two", "lines"], "0")
    assert not Path(path).exists(), "it ends with the step"
    given = bash(place, 'secret KEY; echo "$file"', KEY_FILE="a/path")
    assert given.stdout == "a/path\n"
    missing = bash(place, "secret KEY")
    assert missing.returncode == 1 and "error: KEY is not set" in missing.stderr


def imported(place: Path, base: str) -> subprocess.CompletedProcess[str]:
    return bash(place, "models=$(changed)\necho $models", WAYBILL_BASE=base)


def test_imports_of_a_change_are_those_since_its_base(origin: Path) -> None:
    place = clone(origin, "place")
    first = commit(place, "values/imports/chat.yaml", "source: a\n")
    commit(place, "values/imports/embed.yaml", "source: b\n")
    assert imported(place, first).stdout == "embed\n"
    git(place, "rm", "--quiet", "values/imports/chat.yaml")
    git(place, "commit", "--quiet", "--message", "gone")
    assert imported(place, first).stdout == "embed\n", "what is gone brings nothing"
    for base in ("", "0" * 40):
        assert imported(place, base).stdout == "embed\n", "all that there are"


def test_a_base_that_is_not_there_and_a_wrong_name_are_refused(origin: Path) -> None:
    place = clone(origin, "place")
    done = imported(place, "1" * 40)
    assert done.returncode == 1 and "this checkout has no commit 1111" in done.stderr
    commit(place, "values/imports/Chat_2.yaml", "source: a\n")
    done = imported(place, "")
    assert done.returncode == 1 and "values/imports/Chat_2.yaml is not named" in done.stderr


def test_a_rollout_that_cannot_be_ends_the_step_and_others_leave_it(tmp_path: Path) -> None:
    world = new_world(tmp_path / "project")
    world.pin("dev", world.revision("dev", 1).commit)
    (world.project / ".gitignore").write_text("stores/\nout/\n")
    git_repository(world.project, tmp_path / "origin.git")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def rollout(**env: str) -> subprocess.CompletedProcess[str]:
        return bash(world.project, f"{SAMPLES}/steps/rollout dev", PATH=path, **env)

    failed = rollout()
    # There are no values of dev to install.
    assert failed.returncode == 2 and "values/dev.yaml cannot be used" in failed.stderr
    assert rollout(WAYBILL_ROLLOUT="none").returncode == 0
    waits = rollout(WAYBILL_CHANGES="true")
    assert waits.returncode == 0 and "when the change is merged" in waits.stderr


def test_a_promotion_comes_as_a_change_in_the_words_of_apply(tmp_path: Path) -> None:
    world = new_world(tmp_path / "project")
    world.pin("dev", world.revision("dev", 1).commit)
    (world.project / ".gitignore").write_text("stores/\nout/\n")
    origin = git_repository(world.project, tmp_path / "origin.git")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    key = str(write_key(tmp_path / "plans.pem", ed25519_key()))
    for step in ("plan dev test", "apply test"):
        env = {"PATH": path, "WAYBILL_CHANGES": "true", "WAYBILL_BY": "alice"}
        env |= {"WAYBILL_PLAN_KEY_FILE": key}
        done = bash(world.project, f"{SAMPLES}/steps/{step}", **env)
        assert done.returncode == 0, done.stderr
    out = world.project / "out"
    assert json.loads((out / "plan-test.json").read_text())["signatures"].keys() == {"chat"}
    name = (out / "change-test/branch").read_text().strip()
    assert git(origin, "log", "-1", "--format=%B", name) == (
        (out / "change-test/commit").read_text().strip()
    )
    assert git(origin, "show", "--format=", "--name-only", name) == "values/pins/test.yaml"
    assert "## dev → test: promoted" in (out / "change-test/body.md").read_text()
    assert git(origin, "branch", "--list").split() == ["*", "main", name]


BACK = f"""
case $1 in
watch)
    echo back > {PINS}
    mkdir -p out/change-watch-prod
    echo "Take back chat in prod" > out/change-watch-prod/commit
    exit 3
    ;;
esac
"""
"""What `watch` does to pins and exit code where a revision does badly; there is no cluster here."""


def test_a_rollout_asks_as_it_is_told_and_publishes_the_pins_of_one_that_went_back(
    origin: Path,
) -> None:
    place = clone(origin, "place")
    run, path = f"{SAMPLES}/steps/rollout prod", stand_in(place, "waybill", BACK)
    site = {
        "WAYBILL_SMOKE": "https://models.{env}.example.com",
        "WAYBILL_TOKEN": "of the pipeline",
        "WAYBILL_EVIDENCE_KEY_FILE": "evidence.pem",
    }
    done = bash(place, run, PATH=path, **site)
    assert done.returncode == 3, done.stderr
    told = (place.parent / "tools/told").read_text().splitlines()
    assert told[:3] == ["install", "prod", "watch"]
    args = parser("watch").parse_args(told[2:])
    assert (args.environment, args.smoke) == ("prod", "https://models.prod.example.com")
    assert str(args.pull_request) == "out/change-watch-prod"
    assert str(args.key) == "evidence.pem" and args.token_file
    assert "of the pipeline" not in told
    assert git(origin, "show", f"main:{PINS}") == "back"
    assert git(origin, "log", "-1", "--format=%s", "main") == "Take back chat in prod"


LEFT = ("rollout-prod.md", "rollout-prod.xml", "change-watch-prod")


LOST = f"""
case $1 in
apply)
    echo of-one-model > {PINS}
    mkdir -p out/change-prod
    echo "Promote a" > out/change-prod/commit
    exit 7
    ;;
esac
"""
"""What `apply` leaves of a plan that lost a race for one of its models."""


def test_what_a_plan_has_moved_is_published_also_where_it_failed(origin: Path) -> None:
    place = clone(origin, "place")
    done = bash(place, "promoted prod plan.json", PATH=stand_in(place, "waybill", LOST))
    assert done.returncode == 7, done.stderr
    assert git(origin, "show", f"main:{PINS}") == "of-one-model"
    assert git(origin, "log", "-1", "--format=%s", "main") == "Promote a"


def test_a_rollout_asks_nothing_where_no_address_is_set(origin: Path) -> None:
    place = clone(origin, "place")
    done = bash(place, f"{SAMPLES}/steps/rollout prod", PATH=stand_in(place, "waybill"))
    assert done.returncode == 0, done.stderr
    told = (place.parent / "tools/told").read_text().split()
    assert told[:4] == ["install", "prod", "watch", "prod"]
    args = parser("watch").parse_args(told[2:])
    left = [args.markdown, args.junit, args.pull_request]
    assert list(map(str, left)) == [f"out/{name}" for name in LEFT]
    assert not args.smoke and not args.key
    assert "the pins stay as they are" in done.stderr


def test_nothing_is_approved_where_nobody_says_who_began(origin: Path) -> None:
    """Whoever has made the plan might be who answers."""
    place = clone(origin, "place")
    run, path = f"{SAMPLES}/steps/apply prod", stand_in(place, "waybill")
    site = {"WAYBILL_APPROVER": "bob", "WAYBILL_APPROVAL_KEY_FILE": "managers.pem", "PATH": path}
    done = bash(place, run, **site)
    assert done.returncode == 1 and "nobody says who has started this run" in done.stderr
    assert not (place.parent / "tools/told").exists()
    assert bash(place, run, **site, BUILD_USER_ID="alice").returncode == 0
    told = (place.parent / "tools/told").read_text().splitlines()
    assert told[:2] == ["approve", "out/plan-prod.json"] and "bob" in told


FAILS_CHAT = """
told='{"result": {"environments": [{"name": "prod", "models": {"chat": 1, "embed": 2}}]}}'
case $1 in
status) echo "$told" ;;
attest) [ $2 = embed ] ;;
esac
"""


def test_a_model_that_fails_keeps_no_other_from_its_test(origin: Path) -> None:
    place = clone(origin, "place")
    commit(place, "ci/acceptance", "#!/bin/sh\n")
    (place / "ci/acceptance").chmod(0o755)
    commit(place, "more", "with its mode\n")
    path = stand_in(place, "waybill", FAILS_CHAT)
    run = f"{SAMPLES}/steps/evaluate prod"
    done = bash(place, run, PATH=path, WAYBILL_EVIDENCE_KEY_FILE="evidence.pem")
    assert done.returncode == 1, done.stderr
    told = (place.parent / "tools/told").read_text().splitlines()
    assert [told[at + 1] for at, word in enumerate(told) if word == "attest"] == ["chat", "embed"]
