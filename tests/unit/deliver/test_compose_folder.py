"""A project of Compose on disk: what is written, what is asked for, and whose it is."""

import stat
from pathlib import Path
from typing import Any

import pytest

from waybill.deliver.compose.folder import Folder, write
from waybill.deliver.compose.project import Project
from waybill.deliver.secrets import Plan
from waybill.errors import BadFile, ComposeLacks


def project(**more: Any) -> Project:
    random, fixed = {"random": 20}, {"value": "waybill-hub"}
    facts: dict[str, Any] = {
        "content": {"services": {}},
        "text": "services: {}\n",
        "config": {"config/c/a.yaml": "a: 1\n"},
        "plan": Plan({}, {"s": {"ID": fixed, "KEY": random}}),
        "env": {"x": {"ID": ("s", "ID"), "KEY": ("s", "KEY")}},
        "given": frozenset({"config/c", "secrets/s/KEY"}),
        "data": "./data",
        "folders": ["models"],
        "owner": None,
    }
    return Project(**facts | more)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_project_is_written_once_and_then_only_what_differs(tmp_path: Path) -> None:
    first = write(project(), tmp_path)
    assert first.changed == ("compose.yaml", "config/c/a.yaml") and first.made == ("s",)
    key = (tmp_path / "secrets/s/KEY").read_text()
    again = write(project(config={"config/c/a.yaml": "a: 2\n"}), tmp_path)
    assert (again.changed, again.made) == (("config/c/a.yaml",), ())
    assert (tmp_path / "secrets/s/KEY").read_text() == key
    variables = (tmp_path / "secrets/env/x").read_text()
    assert variables == f"ID=waybill-hub\nKEY={key}\n"
    assert (tmp_path / "data/models").is_dir()


def test_what_is_rendered_no_more_is_removed_and_what_people_made_stays(tmp_path: Path) -> None:
    two = {"config/c/a.yaml": "a: 1\n", "config/c/b.yaml": "b: 1\n"}
    write(project(config=two), tmp_path)
    for path in ("config/site-ca/ca.crt", "secrets/tls/tls.key", "secrets/env/gone"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    gone = ("config/c/b.yaml", "secrets/env/gone")
    assert write(project(), tmp_path, dry_run=True).gone == gone
    assert (tmp_path / gone[0]).exists()
    assert write(project(), tmp_path).gone == gone
    assert not any((tmp_path / path).exists() for path in gone)
    assert (tmp_path / "config/site-ca/ca.crt").exists()
    assert (tmp_path / "secrets/tls/tls.key").exists() and (tmp_path / "secrets/s/KEY").exists()
    assert write(project(env={}), tmp_path).gone == ("secrets/env/x",)


def test_nobody_else_gets_to_the_secrets(tmp_path: Path) -> None:
    write(project(), tmp_path)
    assert mode(tmp_path / "secrets") == mode(tmp_path / "secrets/env") == 0o700
    assert mode(tmp_path / "secrets/env/x") == 0o600
    assert mode(tmp_path / "secrets/s/KEY") == 0o644, "containers run as another user"


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    planned = write(project(), tmp_path, dry_run=True)
    assert planned.changed == ("compose.yaml", "config/c/a.yaml") and planned.made == ("s",)
    assert list(tmp_path.iterdir()) == []


def test_what_only_people_can_give_is_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    needy = project(given=frozenset({"config/site-ca/ca.crt", "secrets/tls"}))
    with pytest.raises(ComposeLacks, match=r"config/site-ca/ca\.crt, .*secrets/tls"):
        write(needy, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "secrets/tls").mkdir(parents=True)
    (tmp_path / "config/site-ca").mkdir(parents=True)
    (tmp_path / "config/site-ca/ca.crt").touch()
    assert write(needy, tmp_path).made == ("s",)


def test_a_secret_that_lacks_a_key_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secrets/s").mkdir(parents=True)
    (tmp_path / "secrets/s/ID").write_text("mine")
    with pytest.raises(ComposeLacks, match="secrets/s: KEY"):
        write(project(), tmp_path)
    assert (tmp_path / "secrets/s/ID").read_text() == "mine"


@pytest.mark.parametrize(
    ("value", "line"), [("a$b c", "ID='a$b c'\n"), ("https://x/y=z", "ID=https://x/y=z\n")]
)
def test_compose_changes_no_value(tmp_path: Path, value: str, line: str) -> None:
    plan = Plan({}, {"s": {"ID": {"value": value}}})
    write(project(plan=plan, env={"x": {"ID": ("s", "ID")}}, given=frozenset()), tmp_path)
    assert (tmp_path / "secrets/env/x").read_text() == line


@pytest.mark.parametrize("value", ["one\ntwo", "it's two", "two\\"])
def test_a_value_that_no_variable_can_have_is_refused_and_not_shown(
    tmp_path: Path, value: str
) -> None:
    plan = Plan({}, {"s": {"ID": {"value": value}}})
    with pytest.raises(BadFile) as refused:
        write(project(plan=plan, env={"x": {"ID": ("s", "ID")}}, given=frozenset()), tmp_path)
    assert "two" not in str(refused.value)


@pytest.mark.parametrize("path", ["compose.yaml", "config/c/a.yaml"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_folder_in_the_place_of_a_file_is_named(
    tmp_path: Path, path: str, *, dry_run: bool
) -> None:
    (tmp_path / path).mkdir(parents=True)
    with pytest.raises(BadFile, match=f"{path} cannot be used: Is a directory"):
        write(project(), tmp_path, dry_run=dry_run)


@pytest.mark.parametrize("path", ["compose.yaml", "config/c/a.yaml", "secrets/s/KEY"])
def test_what_cannot_be_read_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).symlink_to(tmp_path / path)
    with pytest.raises(BadFile, match=f"{path} cannot be used: Too many levels"):
        asked = frozenset({path} & {"secrets/s/KEY"})
        write(project(plan=Plan({}, {}), given=asked), tmp_path, dry_run=True)


def test_a_key_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets/s").mkdir(parents=True)
    (tmp_path / "secrets/s/KEY").write_bytes(b"\xff")
    asks = project(plan=Plan({}, {}), env={"x": {"KEY": ("s", "KEY")}})
    with pytest.raises(BadFile, match=r"secrets/s/KEY.*UTF-8"):
        write(asks, tmp_path)


def test_of_two_who_make_a_secret_one_wins(tmp_path: Path) -> None:
    keeper = Folder(tmp_path)
    assert keeper.create_secret("s", {"ID": "first"}, {}, {})
    assert not keeper.create_secret("s", {"ID": "second"}, {}, {})
    assert (tmp_path / "secrets/s/ID").read_text() == "first"
    assert keeper.secret_keys("s") == frozenset({"ID"}) and keeper.secret_keys("t") is None


def test_folders_of_another_owner_are_given_away_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []
    monkeypatch.setattr("os.chown", lambda path, *_: given.append(path))
    other = project(owner=(tmp_path.stat().st_uid + 1, 0))
    assert write(other, tmp_path).foreign == ()
    assert given == [tmp_path / "data/models"]

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.chown", refuse)
    assert write(other, tmp_path).foreign == (str(tmp_path / "data/models"),)
