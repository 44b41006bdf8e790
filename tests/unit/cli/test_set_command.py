"""`waybill set` as people run it: the file, the difference, what is refused."""

import stat
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Waybill
from waybill.cli import set as set_command

VALUES = b"""\
# Why dev is as it is.\r
global:\r
  models:\r
    chat: {enabled: true, replicas: 1}  # the one\r
  imageRegistry: 'registry.example'\r
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "values").mkdir()
    places = "environments:\n  dev: {store: stores/dev}\n"
    (tmp_path / "values/environments.yaml").write_text(places)
    (tmp_path / "values/dev.yaml").write_bytes(VALUES)
    return tmp_path


def content(project: Path) -> bytes:
    return (project / "values/dev.yaml").read_bytes()


def test_several_values_are_set_at_once_and_no_other_byte(project: Path, waybill: Waybill) -> None:
    changes = ("global.models.chat.replicas=2", "global.imageRegistry=true", "global.caBundle=x")
    ran = waybill("set", *changes, "--env", "dev", "--project", project)
    assert ran.code == 0, ran.err
    assert content(project) == VALUES.replace(b"replicas: 1", b"replicas: 2").replace(
        b"'registry.example'\r\n", b"'true'\r\n  caBundle: x\r\n"
    )
    assert "-    chat: {enabled: true, replicas: 1}  # the one" in ran.out
    assert "+  imageRegistry: 'true'" in ran.out and "Why dev" not in ran.out
    assert "not checked: there is no chart at" in ran.err


def test_a_dry_run_shows_the_difference_and_changes_nothing(
    project: Path, waybill: Waybill
) -> None:
    words = ("set", "global.models.chat.replicas=2", "--env", "dev", "--project", project)
    ran = waybill(*words, "--dry-run", "--json")
    assert ran.code == 0 and content(project) == VALUES
    assert ran.result["changes"] == [{"path": "global.models.chat.replicas", "from": 1, "to": 2}]
    assert (ran.result["changed"], ran.result["dryRun"], ran.result["checked"]) == (
        True,
        True,
        False,
    )


def test_what_somebody_saves_meanwhile_is_not_lost(
    project: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart is rendered between reading and writing."""
    path = project / "values/dev.yaml"

    def editor(*_: object) -> bool:
        path.write_bytes(VALUES + b"more: 1\r\n")
        return True

    monkeypatch.setattr(set_command, "_check", editor)
    ran = waybill("set", "global.models.chat.replicas=2", "--env", "dev", "--project", project)
    assert ran.code == 7 and "somebody has changed" in ran.err
    assert path.read_bytes() == VALUES + b"more: 1\r\n"
    assert {each.name for each in path.parent.iterdir()} == {"dev.yaml", "environments.yaml"}


def test_mode_and_link_of_the_file_stay(project: Path, waybill: Waybill) -> None:
    path, real = project / "values/dev.yaml", project / "shared.yaml"
    path.rename(real)
    real.chmod(0o640)
    path.symlink_to(real)
    ran = waybill("set", "global.models.chat.replicas=2", "--env", "dev", "--project", project)
    assert ran.code == 0, ran.err
    assert path.is_symlink() and b"replicas: 2" in real.read_bytes()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_what_stands_there_already_is_not_written_again(project: Path, waybill: Waybill) -> None:
    path = project / "values/dev.yaml"
    before = path.stat()
    ran = waybill("set", "global.models.chat.replicas=1", "--env", "dev", "--project", project)
    assert (ran.code, ran.out.endswith("says so already\n")) == (0, True)
    assert path.stat() == before and stat.S_ISREG(before.st_mode)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a=5", b"a: 5\r\n"),
        ("a=-1.5", b"a: -1.5\r\n"),
        ("a=true", b"a: true\r\n"),
        ('a="5"', b'a: "5"\r\n'),
        ("a=1e3", b'a: "1e3"\r\n'),
        ("a=x=y", b"a: x=y\r\n"),
        ("a=", b'a: ""\r\n'),
        (r"a\.b\=c.d=null", b"a.b=c:\r\n  d: null\r\n"),
    ],
)
def test_values_are_what_they_look_like(
    project: Path, waybill: Waybill, text: str, written: bytes
) -> None:
    assert waybill("set", text, "--env", "dev", "--project", project).code == 0
    wanted = written.replace(b"a.b=c", b'"a.b=c"') if b"a.b" in written else written
    assert content(project) in (VALUES + written, VALUES + wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r'a="\ud800"', "surrogates not allowed"),
        ("replicas", "it is not a path, = and a value"),
        ("=2", "it is not a path, = and a value"),
        ("a..b=2", "keys with dots between them"),
        ("a=\x1b[2J", "a sign in it cannot be printed"),
        ("global.models=2", "global.models of "),
        ("global.models.chat[0]=2", "global.models.chat is not a list"),
        ("global.imageRegistry.host=2", "global.imageRegistry is not a map"),
    ],
)
def test_what_cannot_be_set_is_refused(
    project: Path, waybill: Waybill, text: str, said: str
) -> None:
    ran = waybill("set", text, "--env", "dev", "--project", project)
    assert (ran.code, content(project)) == (2, VALUES)
    assert said in ran.err


def test_one_change_that_cannot_be_made_stops_all(project: Path, waybill: Waybill) -> None:
    words = ("global.models.chat.replicas=2", "global.models=3")
    assert waybill("set", *words, "--env", "dev", "--project", project).code == 2
    assert content(project) == VALUES


def test_a_file_that_is_not_there_is_made(project: Path, waybill: Waybill) -> None:
    (project / "values/dev.yaml").unlink()
    assert waybill("set", "a.b=1", "--env", "dev", "--project", project).code == 0
    assert content(project) == b"a:\n  b: 1\n"
