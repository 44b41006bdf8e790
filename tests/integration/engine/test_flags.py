"""The linter knows the options that the pinned vLLM really has."""

import json
import subprocess
from pathlib import Path

from tests.services import needs

KNOWN = Path("tools/waybill/deliver/vllm_flags.json")


def test_the_known_options_are_those_of_the_pinned_vllm() -> None:
    command = [needs("WAYBILL_TEST_VLLM"), "ci/vllm_flags.py"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    known = json.loads(KNOWN.read_text("utf-8"))
    assert told == known, f'mend it: "$(ci/tools vllm)" ci/vllm_flags.py > {KNOWN}'
