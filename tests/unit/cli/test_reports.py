"""What a promotion leaves for machines and reviews, also where it is denied."""

from typing import Any

import pytest

from tests.unit.cli.test_plan_commands import ALWAYS, SCOPE, Run, policed, run, site
from tests.unit.release.site import Site

__all__ = ["policed", "run", "site"]  # Fixtures.

DENYING = [
    pytest.param({"repos": ["other/*"]}, "PromotionDenied", 3, "repo", id="denied"),
    pytest.param({"freeze": ALWAYS}, "Frozen", 6, "freeze", id="frozen"),
]


@pytest.mark.parametrize("command", ["promote", "apply"])
@pytest.mark.parametrize(("policy", "error", "code", "gate"), DENYING)
def test_error_of_one_that_is_denied_has_all_verdicts(
    run: Run, site: Site, policy: dict[str, Any], error: str, code: int, gate: str, command: str
) -> None:
    site.policy(**policy)
    made = run.plan()
    words = SCOPE if command == "promote" else (str(run.file),)
    told = run.json(command, *words, "--by", "carol", code=code)
    assert (told["code"], told["plan"]) == (error, made["digest"])
    assert told["gates"] == made["outlook"]["gates"]
    assert [one["gate"] for one in told["gates"] if one["denies"]] == [gate]


def test_signature_that_is_missing_is_told_with_its_gate(run: Run, site: Site) -> None:
    """Without a policy, trust alone denies."""
    site.trust("release")
    told = run.json("promote", *SCOPE, code=3)
    assert told["code"] == "Unsigned"
    assert [one["gate"] for one in told["gates"] if one["denies"]] == ["signature"]
