"""Pages of the guides as tests run them: what they have one type, and a shell for it."""

import os
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DOCS = REPO / "tools/docs"
SHELL = ("sh",)
"""Languages of blocks that are commands; on some pages a block without a language is, too."""
CARRIED = "clone=$PWD; media=~/carry/media; trust=~/carry/project/values/trust/room.yaml"
"""What the first page has set when its later parts begin."""


def blocks(page: str, section: str = "", languages: Collection[str] = SHELL) -> list[str]:
    """What stands in the fenced blocks of a page, or of one of its sections."""
    flags = re.DOTALL | re.MULTILINE
    if section:
        (page,) = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", page, flags)
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags)
    return [text for language, text in found if language in languages]


def key_line(page: str) -> str:
    """The command of the first page that makes its key."""
    text = "\n".join(blocks(page, "Outside"))
    (line,) = re.findall(r"^.*openssl genpkey.*$", text, re.MULTILINE)
    return str(line)


def shell(home: Path, *commands: str, cwd: Path = REPO, **more: str) -> str:
    """What they print, in one shell that ends with the first that fails.

    Credentials that another test's server needs would go before a page's own.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *commands])],
        cwd=cwd,
        env={**clean, "HOME": str(home), "PATH": path, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
