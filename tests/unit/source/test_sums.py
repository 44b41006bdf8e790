"""SHA256SUMS as the ways to write it have it."""

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.errors import BadSums, UnsafePath
from waybill.source.website import parse_sums

HEX = "ab" * 32


def parsed(text: str) -> Mapping[str, str | None]:
    return parse_sums(text, "http://host/SHA256SUMS")


def test_all_forms_of_a_line_are_read() -> None:
    text = f"{HEX}  a.txt\n\n{HEX.upper()} *b/c d.bin\r\n{HEX}  ./e\nSHA256 (f (1).txt) = {HEX}\n"
    digest = f"sha256:{HEX}"
    assert parsed(text) == dict.fromkeys(["a.txt", "b/c d.bin", "e", "f (1).txt"], digest)


@pytest.mark.parametrize("option", [[], ["--tag"], ["--binary"]])
def test_what_sha256sum_writes_is_read(option: list[str], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.txt").write_bytes(b"abc")
    command = ["sha256sum", *option, "./sub/a b.txt"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert list(parsed(said.stdout)) == ["sub/a b.txt"]


@pytest.mark.parametrize("line", ["<html>", f"{HEX[1:]}  a", f"{HEX} a", f"\\{HEX}  a\\nb"])
def test_a_line_of_another_form_is_named(line: str) -> None:
    with pytest.raises(BadSums, match="line 2 is none of sha256sum's"):
        parsed(f"{HEX}  good\n{line}\n")


def test_a_file_may_stand_there_twice_but_not_with_two_digests() -> None:
    assert parsed(f"{HEX}  a\n{HEX.upper()}  ./a\n") == {"a": f"sha256:{HEX}"}
    with pytest.raises(BadSums, match="line 3 has another digest of a than a line before it"):
        parsed(f"{HEX}  a\n{HEX}  b\n{'cd' * 32}  ./a\n")


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "a//b", "./../x"])
def test_a_path_that_leaves_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        parsed(f"{HEX}  {path}\n")


@given(st.text())
def test_nothing_else_comes_of_any_text(text: str) -> None:
    with suppress(BadSums, UnsafePath):
        parsed(text)
