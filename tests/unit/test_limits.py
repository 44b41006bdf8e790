"""The limits that ci/check holds every file to."""

import pytest

from ci.limits import FUNCTION_LINES, MODULE_LINES, findings


def test_a_long_module_is_found() -> None:
    assert list(findings("a.py", "x = 1\n" * MODULE_LINES)) == []
    [line] = findings("a.py", "x = 1\n" * (MODULE_LINES + 1))
    assert line.startswith(f"a.py: {MODULE_LINES + 1} lines; split the module")


def test_a_long_function_is_found() -> None:
    body = "    pass\n"
    assert list(findings("a.py", "def f():\n" + body * (FUNCTION_LINES - 1))) == []
    [line] = findings("a.py", "async def f():\n" + body * FUNCTION_LINES)
    assert line.startswith(f"a.py:1: f has {FUNCTION_LINES + 1} lines; split the function")


def test_length_is_counted_in_python_alone() -> None:
    assert list(findings("a.md", "word\n" * 1000)) == []


@pytest.mark.parametrize(
    "line", ["https://" + "pypi." + "org/simple", "GOPROXY=proxy." + "golang.org", "'/" + "root/x'"]
)
def test_what_binds_a_file_to_one_place_is_found(line: str) -> None:
    [found] = findings("docs/a.md", f"fine\n{line}\n")
    assert found.startswith("docs/a.md:2: names ")


@pytest.mark.parametrize("line", ["src/work/x", "https://host/home/x", "~/work/x", "/tmp/x"])  # noqa: S108
def test_other_paths_are_left_alone(line: str) -> None:
    assert list(findings("a.md", line)) == []


def test_a_lock_file_may_name_its_registry() -> None:
    assert list(findings("uv.lock", "https://" + "pypi." + "org/simple")) == []
