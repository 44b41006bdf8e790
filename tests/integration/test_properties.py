"""The properties of the unit tests, with many more examples than those have time for."""

import os
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[1] / "unit"


def test_properties_hold_for_many_examples() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "hypothesis"]
    ran = subprocess.run(
        [*command, str(UNIT)],
        env={**os.environ, "WAYBILL_TEST_EXAMPLES": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
