"""Every command that a guide shows is one: the parsers take it as it stands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from waybill.cli.main import parser

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", *sorted((REPO / "tools/docs").glob("*.md"))]
LEFT_OUT = re.compile(r"…|→|\.\.\.|\||\S {2,}[^# ]")
"""In a command that is not whole, shows a choice, or has words beside it that explain it."""


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of ours in a block, without what is the shell's."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    for block in (text for language, text in blocks if language in ("", "sh")):
        for line in re.sub(r" *\\\n\s*", " ", block).splitlines():
            found = re.match(r"\s*(?:\w+=\S+ )*waybill (.*)", line)
            if found is None or LEFT_OUT.search(line):
                continue
            words = shlex.split(found[1], comments=True)
            ends = [at for at, word in enumerate(words) if re.match(r"[<>&;]|\d>", word)]
            yield words[: ends[0] if ends else None]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_parsers_take_what_the_guide_shows(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in commands(page):
        try:
            parser(words[0]).parse_args(words)
        except SystemExit as ended:
            assert ended.code == 0, f"{shlex.join(words)}: {capsys.readouterr().err[-300:]}"


def test_the_pages_of_closed_rooms_show_commands() -> None:
    for name in ("closed-room.md", "compose.md"):
        assert len(list(commands(REPO / "tools/docs" / name))) > 10


SIGNING = {("pack",), ("package", "--target"), ("images", "save")}
ASKING = {("verify",), *(("images", name) for name in ("push", "load", "chart", "bom"))}


@pytest.mark.parametrize("name", ["closed-room.md", "compose.md"])
def test_what_leaves_is_signed_and_what_comes_is_asked_for_it(name: str) -> None:
    """A room that refuses what is unsigned refuses nothing of its own page."""
    seen = set()
    for words in commands(REPO / "tools/docs" / name):
        for kinds, flag in ((SIGNING, "--key"), (ASKING, "--trust")):
            for kind in (one for one in kinds if one == tuple(words[: len(one)])):
                seen.add(kind)
                assert flag in words, shlex.join(words)
    assert {("pack",), ("images", "save"), ("images", "chart"), ("images", "load")} <= seen
