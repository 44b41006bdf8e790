"""What no other tool here checks: how long code is, and what no committed file may name.

Usage: python ci/limits.py FILE...    prints one line for each finding, exits 1 if there is any.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES = 60

# A lock file has to name where its packages come from; everything else must work with any mirror.
MAY_NAME_HOSTS = {"uv.lock", "go.sum"}
HOSTS = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|(?:proxy|sum)\.golang\.org|registry\.npmjs\.org"
    r"|repo1?\.maven\.org|repo\.maven\.apache\.org|(?:static|index)\.crates\.io)\b"
)
MACHINE_PATHS = re.compile(r"(?<![\w.}/~-])/(?:root|home|work|Users)/[\w.]")


def too_long(path: str, text: str) -> Iterator[str]:
    lines = text.count("\n")
    if lines > MODULE_LINES:
        yield f"{path}: {lines} lines; split the module, the limit is {MODULE_LINES}"
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield (
                    f"{path}:{node.lineno}: {node.name} has {length} lines; "
                    f"split the function, the limit is {FUNCTION_LINES}"
                )


def machine_bound(path: str, text: str) -> Iterator[str]:
    if Path(path).name in MAY_NAME_HOSTS:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if found := HOSTS.search(line):
            yield f"{path}:{number}: names the registry {found[0]}; leave that to settings"
        if MACHINE_PATHS.search(line):
            yield f"{path}:{number}: names a folder of one machine; make it relative or a setting"


def findings(path: str, text: str) -> Iterator[str]:
    yield from machine_bound(path, text)
    if path.endswith(".py"):
        yield from too_long(path, text)


def main(paths: list[str]) -> int:
    found = [
        line
        for path in paths
        if Path(path).is_file()
        for line in findings(path, Path(path).read_text("utf-8", errors="replace"))
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
