"""policy.md lists what the gates and the policy really have."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.release.test_gates import TABLE
from waybill.generate import policy

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "tools/docs/policy.md").read_text()


def table(name: str) -> dict[str, list[str]]:
    """The other cells of each row, by its first one."""
    block = re.search(rf"<!-- The {name}: .*?<!-- The end of the {name}. -->", GUIDE, re.DOTALL)
    assert block
    lines = [line for line in block[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]
    return {first: rest for first, *rest in cells}


def test_gates_are_those_that_there_are() -> None:
    """Each is held to pass, fail, skip and error by the tests of gates."""
    gates = {"yours" if name == "scan" else name: row for name, row in TABLE.items()}
    found = table("gates")
    assert set(found) == set(gates)
    for name, (*told, error) in found.items():
        assert all(told), name
        assert (error == "–") is (gates[name].error is None), name  # noqa: RUF001


def fields(value: Any, at: tuple[str, ...] = ()) -> Iterator[str]:
    named = {("steps",), ("freeze",), ("steps", "NAME", "evaluations"), ("steps", "NAME", "gates")}
    if not isinstance(value, dict):
        yield f"`{'.'.join(at)}`"
        return
    for key, inner in value.items():
        yield from fields(inner, (*at, "NAME" if at in named else key))


def test_fields_are_those_that_a_policy_has() -> None:
    sample = yaml.safe_load((ROOT / "values/samples/policy.yaml").read_text())
    asked = set(fields(sample)) | {"`freeze.NAME.kind`", "`steps.NAME.approvals.plannedBy`"}
    assert len(asked) > 20
    assert asked - set(table("fields")) == set()
    assert all(all(cells) for cells in table("fields").values())


def test_tables_are_put_where_their_places_are_and_nothing_else_changes() -> None:
    emptied = re.sub(r"(<!-- The \w+: .*? -->).*?(<!-- The end)", r"\1\2", GUIDE, flags=re.DOTALL)
    assert "<!-- The end of the gates. -->" in emptied and "| hold |" not in emptied
    assert policy.guide(emptied) == GUIDE


@pytest.mark.parametrize("lost", ["<!-- The fields:", "<!-- The end of the gates. -->"])
def test_guide_without_a_place_for_a_table_is_refused(lost: str) -> None:
    with pytest.raises(ValueError, match=r"policy\.md lacks"):
        policy.guide(GUIDE.replace(lost, ""))
