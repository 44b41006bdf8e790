"""The commands of the guide on evidence are run as they stand there, in its order."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.unit.release.world import World

REPO = Path(__file__).resolve().parents[3]
GUIDE = REPO / "tools/docs/evidence.md"


def test_the_guide_works_as_written(model: World) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *blocks])],
        cwd=model.project,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(
        r"test +acceptance PASSED in dev .* key [0-9a-f]{16} \(not known\)", ran.stdout
    )
    assert (model.project / "audit/README.md").is_file()
