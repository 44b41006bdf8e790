"""The commands as people and scripts run them: text, JSON, exit codes."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.printed import printed
from tests.unit.release.world import OTHER, REPO, World, manifest, upstream
from waybill.cli.main import main
from waybill.cli.release import age
from waybill.errors import NothingPinned
from waybill.store.layout import Ref


class Run:
    """One command in the world's project; what it said and how it ended."""

    def __init__(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self._world, self._capsys = world, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """The text on stdout."""
        self._capsys.readouterr()
        assert main([*words, "--project", str(self._world.project)]) == code
        out, self.said = self._capsys.readouterr()
        return out

    def json(self, *words: str, code: int = 0) -> Any:
        answer = printed(self(*words, "--json", code=code))
        assert answer["command"] == words[0]
        return answer["result" if code == 0 else "error"]


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(world, capsys)


ONE, TWO = manifest(1).commit, manifest(2).commit


def test_from_pin_to_status(world: World, run: Run) -> None:
    for number in (1, 2):
        world.revision("dev", number)
    assert run("pin", "dev", "chat", f"Acme/Chat@{ONE}", "--why", "first").strip() == (
        f"chat in dev: moved to Acme/Chat@{ONE[:8]}"
    )
    assert run("promote", "--from", "dev", "--to", "test").strip() == (
        f"chat in test: moved to Acme/Chat@{ONE[:8]}; copied: 3.0 kB in 3 files"
    )
    assert f"chat in dev: moved from {ONE[:8]} to Acme/Chat@{TWO[:8]}" in run(
        "pin", "dev", "chat", f"Acme/Chat@{TWO}"
    )
    head, row = run("status").splitlines()
    assert head.split() == ["MODEL", "DEV", "TEST", "PROD"]
    assert re.match(rf"chat   {TWO[:8]} \d+ s, previous {ONE[:8]}", row)
    assert "behind dev" in row
    assert run("rollback", "dev", "chat", "--why", "worse").strip() == (
        f"chat in dev: moved from {TWO[:8]} to Acme/Chat@{ONE[:8]}"
    )
    rows = [line.split() for line in run("history", "chat", "--env", "dev").splitlines()]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("ENV", "COMMIT", "WHY"),
        ("dev", ONE, "worse"),
        ("dev", TWO, rows[2][-1]),
        ("dev", ONE, "first"),
    ]


def test_json_of_every_command(world: World, run: Run) -> None:
    world.revision("dev", 1)
    pinned = run.json("pin", "dev", "chat", f"Acme/Chat@{ONE}", "--by", "me", "--why", "first")
    assert pinned == {
        "dryRun": False,
        "environment": "dev",
        "model": "chat",
        "repo": "Acme/Chat",
        "commit": ONE,
        "digest": manifest(1).descriptor.digest,
        "size": manifest(1).size,
        "previous": None,
        "changes": True,
    }
    promoted = run.json("promote", "chat", "--from", "dev", "--to", "test")
    assert (promoted["from"], promoted["to"], promoted["dryRun"]) == ("dev", "test", False)
    assert [(m["model"], m["blobs"], m["bytes"]) for m in promoted["models"]] == [
        ("chat", 3, manifest(1).size)
    ]
    chain = run.json("history", "chat")
    assert list(chain["environments"]) == ["dev", "test"]
    assert {key: chain["environments"]["dev"][0][key] for key in ("by", "why", "commit")} == {
        "by": "me",
        "why": "first",
        "commit": ONE,
    }
    dev, test, prod = run.json("status")["environments"]
    assert dev["models"]["chat"]["traffic"] == {"stable": {"commit": ONE, "weight": 100}}
    assert (test["models"]["chat"]["ref"], test["models"]["chat"]["differs"]) == (ONE, False)
    assert (prod["models"], prod["error"]) == ({}, None)


def test_dry_runs_say_what_and_change_nothing(
    model: World, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(model, capsys)
    model.revision("dev", 3)

    def files() -> dict[str, bytes]:
        found = (path for path in model.project.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in found}

    before = files()
    assert run("promote", "--from", "dev", "--to", "test", "--dry-run").strip() == (
        f"chat in test: would move from {ONE[:8]} to Acme/Chat@{TWO[:8]}; "
        "to copy: 3.0 kB in 2 files"
    )
    assert run("rollback", "dev", "chat", "--dry-run").strip() == (
        f"chat in dev: would move from {TWO[:8]} to Acme/Chat@{ONE[:8]}"
    )
    three = manifest(3).commit
    assert "would move" in run("pin", "dev", "chat", f"Acme/Chat@{three}", "--dry-run")
    planned = run.json("promote", "--from", "dev", "--to", "test", "--dry-run")
    assert planned["dryRun"]
    assert planned["models"][0]["bytes"] > 3000
    assert files() == before


def test_nothing_to_do_is_said(model: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(model, capsys)
    model.promote("dev", "test")
    assert run("promote", "--from", "dev", "--to", "test").strip() == (
        f"chat in test: stands at Acme/Chat@{TWO[:8]} already; copied: nothing"
    )
    assert run.json("promote", "--from", "dev", "--to", "test")["models"][0]["changes"] is False
    assert run("promote", "--from", "test", "--to", "prod", "--dry-run").endswith("3 files\n")


def test_history_names_what_it_cannot_read(
    model: World, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(model, capsys)
    (model.project / "stores/test/store.json").unlink()
    *rows, empty, note = run("history", "chat").splitlines()
    assert [row.split()[0] for row in rows] == ["ENV", "dev", "dev"]
    assert empty == ""
    assert note.startswith("test: file://")
    told = run.json("history", "chat")
    assert list(told["environments"]) == ["dev"]
    assert note == f"test: {told['errors']['test']}"
    run("history", "chat", "--env", "test", code=2)


def test_nothing_pinned_is_said(run: Run) -> None:
    run("promote", "--from", "dev", "--to", "test", code=NothingPinned.exit_code)
    assert run("status").strip() == "nothing is pinned yet"


def test_marks_are_explained_below_the_table(
    model: World, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(model, capsys)
    store, ref = model.store("dev"), Ref.pin("dev", "chat")
    store.move(REPO, ref, ONE, expected=store.head(REPO, ref), by="a", why="b")
    (model.project / "stores/test/store.json").unlink()
    (model.project / "stores/prod/store.json").write_text("{")
    _, row, _, *notes = run("status").splitlines()
    assert f"{TWO[:8]}, previous {ONE[:8]}, differs" in row
    assert f"{ONE[:8]}, behind dev, no store  unreadable" in row
    assert [note.split(":")[0] for note in notes] == ["test", "prod", "dev"]
    assert notes[2] == f"dev: the pins file has chat at {TWO}, but the store's ref stands at {ONE}"


def test_weight_and_missing_pin_are_shown(model: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(model, capsys)
    path = model["dev"].pins_path
    text = path.read_text().replace('"weight": "100"', '"weight": "90"')
    path.write_text(text.replace('"weight": "0"', '"weight": "10"'))
    model["test"].pins_path.unlink()
    row = run("status").splitlines()[1]
    assert f"chat   {TWO[:8]} 90 % " in row
    assert "not pinned, behind dev, differs" in row


def test_alias_that_stays_with_another_packing_is_told(
    model: World, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(model, capsys)
    model.store("test").add_alias(REPO, upstream(2), ONE)
    out = run("promote", "--from", "dev", "--to", "test")
    assert f"  {upstream(2)} stays the alias of another packing in the target" in out


@pytest.mark.parametrize(
    ("words", "code", "sentence", "hint"),
    [
        ("pin dev chat Acme/Chat", 2, "it must be OWNER/NAME@COMMIT", "correct revision"),
        ("pin dev chat Acme/Chat@", 2, "it must be OWNER/NAME@COMMIT", "correct revision"),
        ("pin dev chat chat@main", 2, "repo 'chat' is not usable", "correct repo"),
        ("pin dev Chat Acme/Chat@main", 2, "model 'Chat' is not usable", "correct model"),
        ("pin dev chat Acme/Chat@main", 2, "has no revision 'main'", "sideload it first"),
        ("pin stage chat Acme/Chat@main", 2, "there is no environment 'stage'", "use one of: dev"),
        ("promote --from dev --to prod", 2, "dev is followed by test", "dev → test → prod"),
        ("promote x --from dev --to test", 2, "no model 'x' is pinned in dev", "waybill pin dev x"),
        ("rollback test chat", 2, "has no earlier commit", "waybill history chat --env test"),
        ("rollback prod chat", 2, "no model 'chat' is pinned in prod", "waybill pin prod chat"),
        ("history embed", 2, "no model 'embed' is pinned in dev", "waybill pin dev embed"),
    ],
)
def test_wrong_input_gets_a_sentence_and_the_way_out(
    model: World,
    capsys: pytest.CaptureFixture[str],
    words: str,
    code: int,
    sentence: str,
    hint: str,
) -> None:
    run = Run(model, capsys)
    assert run(*words.split(), code=code) == ""
    error, advice = run.said.splitlines()
    assert error.startswith("error: ")
    assert sentence in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert sentence in run.json(*words.split(), code=code)["message"]


def test_corruption_has_its_own_exit_code(model: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(model, capsys)
    file = manifest(2).by_path["model.safetensors"]
    path = model.store("dev").backend.local_path(f"blobs/sha256/{file.digest[7:]}")
    assert path
    path.write_bytes(b"x" * file.size)
    run("promote", "--from", "dev", "--to", "test", code=4)
    assert f"{file.digest} in {model.store('dev').url} is corrupt" in run.said


def test_embed_goes_beside_chat(model: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(model, capsys)
    model.pin("dev", model.revision("dev", 5, OTHER).commit, "embed", OTHER)
    assert len(run("promote", "--from", "dev", "--to", "test").splitlines()) == 2
    assert [line.split()[0] for line in run("status").splitlines()] == ["MODEL", "chat", "embed"]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2026-01-31T11:59:58Z", "2 s"),
        ("2026-01-31T11:58:01Z", "1 min"),
        ("2026-01-31T01:00:00Z", "11 h"),
        ("2026-01-01T12:00:00Z", "30 d"),
        ("2026-01-31T12:00:30Z", "0 s"),
    ],
)
def test_age_is_told_in_one_unit(at: str, text: str) -> None:
    assert age(at, datetime(2026, 1, 31, 12, tzinfo=UTC)) == text
