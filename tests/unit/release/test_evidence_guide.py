"""The commands of the guide on evidence are run as they stand there, in its order."""

import re
from pathlib import Path

from tests.pages import DOCS, blocks, shell
from tests.unit.release.world import World


def test_the_guide_works_as_written(model: World) -> None:
    commands = blocks((DOCS / "evidence.md").read_text())
    assert len(commands) == 3
    said = shell(Path.home(), *commands, cwd=model.project)
    assert re.search(r"test +acceptance PASSED in dev .* key [0-9a-f]{16} \(not known\)", said)
    assert (model.project / "audit/README.md").is_file()
