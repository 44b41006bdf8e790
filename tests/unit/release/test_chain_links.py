"""What steps, statements and plans name is in the export, and its own commands say what is not."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_plan_commands import SCOPE, Run, policed, run, site
from tests.unit.release.site import Site
from tests.unit.release.test_chain import changed, complaints
from tests.unit.release.test_replay import Carry, Side, carry, inside, outside
from waybill import digest as digests
from waybill.store import layout

__all__ = ["carry", "inside", "outside", "policed", "run", "site"]  # Fixtures.


@pytest.fixture
def audited(run: Run, site: Site, tmp_path: Path) -> Path:
    """Of a promotion that was tested, approved and applied, each by a key of their own."""
    site.policy(approvals={"count": 1, "of": ["alice"]}, evaluations={"smoke": SMOKE})
    site.say(site.tested(), "ci")
    run.plan("--key", run.key("ci"))
    run("approve", str(run.file), "--key", run.key("alice"), "--by", "alice")
    run("apply", str(run.file), "--key", run.key("ci"))
    run("evidence", "chat", "--env", "test", "--out", str(tmp_path / "audit"))
    return tmp_path / "audit"


SMOKE: dict[str, Any] = {"signedBy": ["ci"]}


def named(value: Any, *keys: str) -> Iterator[str]:
    """Digests under these keys, wherever they are."""
    if isinstance(value, dict):
        for key, below in value.items():
            for one in below if isinstance(below, list) else [below]:
                if key in keys and str(one).startswith("sha256:"):
                    yield one
            yield from named(below, *keys)
    elif isinstance(value, list):
        for below in value:
            yield from named(below, *keys)


def test_a_plan_that_was_agreed_to_and_never_applied_is_there(
    run: Run, site: Site, tmp_path: Path
) -> None:
    both: list[dict[str, Any]] = [{}, {"repos": ["*/*"]}]
    for rules in both:
        site.policy(approvals={"count": 1, "of": ["alice"]}, **rules)
        run.plan("--key", run.key("ci"))
        run("approve", str(run.file), "--key", run.key("alice"), "--by", "alice")
    run("apply", str(run.file), "--key", run.key("ci"))
    run("evidence", "chat", "--env", "test", "--out", str(tmp_path / "audit"))
    assert complaints(tmp_path / "audit") == []
    assert len(list((tmp_path / "audit/plans").iterdir())) == 2


def test_all_that_is_named_is_there(audited: Path) -> None:
    there = {digests.of(path.read_bytes()) for path in audited.rglob("*") if path.is_file()}
    ours = digests.hex_of(digests.of((audited / "manifest.json").read_bytes()))[:40]
    steps = [json.loads(path.read_bytes()) for path in audited.glob("records/*/*/*.json")]
    found = {one for step in steps for one in named(step, "previous")}
    found |= {
        one for step in steps if step["commit"] == ours for one in named(step, "plan", "evidence")
    }
    said = [json.loads(path.read_bytes()) for path in audited.glob("statements/*.json")]
    found |= {one for each in said for one in named(each["predicate"], "plan")}
    (plan,) = audited.glob("plans/*.json")
    found |= set(named(json.loads(plan.read_bytes())["models"], "from", "to"))
    assert len(found) > 6
    assert found <= there
    assert complaints(audited) == []


def test_the_plan_leads_to_the_step_that_it_was_made_from(audited: Path) -> None:
    (plan,) = audited.glob("plans/*.json")
    step = json.loads(plan.read_bytes())["models"]["chat"]["records"]["from"]
    assert (audited / f"records/dev/chat/{digests.hex_of(step)}.json").is_file()


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("plans/*.json", "not here: sha256:"),
        ("statements/*-test.dsse", "not here: sha256:"),
        ("records/dev/chat/*.json", "made from no step that is here"),
    ],
)
def test_what_is_not_what_was_named_is_told(audited: Path, pattern: str, said: str) -> None:
    for path in audited.glob(pattern):
        changed(path, b'"', b' "')
    names = [line.split("  ", 1)[1] for line in (audited / "SHA256SUMS").read_text().splitlines()]
    sums = (f"{digests.hex_of(digests.of((audited / n).read_bytes()))}  {n}\n" for n in names)
    (audited / "SHA256SUMS").write_text("".join(sums))
    assert any(said in line for line in complaints(audited))


def test_what_a_store_has_lost_is_told(run: Run, site: Site, audited: Path, tmp_path: Path) -> None:
    (plan,) = audited.glob("plans/*.json")
    blob = layout.blob(digests.of(plan.read_bytes()))
    site.world.store("test").backend.delete(blob, math.inf)
    run("evidence", "chat", "--env", "test", "--out", str(tmp_path / "later"))
    found = complaints(tmp_path / "later")
    assert found and all(line.startswith(f"not here: sha256:{plan.stem}, which ") for line in found)


def test_steps_of_the_other_side_of_a_gap_are_there(
    inside: Side, carry: Carry, tmp_path: Path
) -> None:
    """As they were told: the plan leads to them, and there is no other store to ask."""
    inside.run("apply", carry(1))
    inside.run("evidence", "chat", "--env", "test", "--out", tmp_path / "audit")
    (plan,) = (tmp_path / "audit/plans").glob("*.json")
    step = json.loads(plan.read_bytes())["models"]["chat"]["records"]["from"]
    assert (tmp_path / f"audit/carried/{digests.hex_of(step)}.json").is_file()
    assert not [line for line in complaints(tmp_path / "audit") if "no step" in line]


def test_scope_of_one_promotion(run: Run, tmp_path: Path) -> None:
    """Without keys there is a plan all the same, and it is no less linked."""
    run("promote", *SCOPE)
    run("evidence", "chat", "--env", "test", "--out", str(tmp_path / "audit"))
    assert len(list((tmp_path / "audit/plans").glob("*.json"))) == 1
    assert complaints(tmp_path / "audit") == []
