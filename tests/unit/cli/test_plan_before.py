"""A plan shows beside what a model becomes what the target runs now, and decides nothing by it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.unit.cli.test_plan_commands import SCOPE, Run, policed, run, site
from tests.unit.release.site import Site
from tests.unit.release.world import REPO, manifest
from waybill.release.plan_schema import SCHEMA
from waybill.store import evidence, layout

__all__ = ["policed", "run", "site"]  # Fixtures.


def engine(site: Site, **arguments: Any) -> None:
    entry = {"enabled": True, "engineArgs": arguments}
    text = yaml.safe_dump({"global": {"models": {"chat": entry}}})
    (site.project / "values/test.yaml").write_text(text)


@pytest.fixture
def next_one(run: Run, site: Site) -> Site:
    """test has got its revision by a plan; dev runs another one, of other people."""
    engine(site, dtype="auto")
    site.license("mit")
    site.sign("release")
    run("promote", *SCOPE)
    site.world.pin("dev", site.world.revision("dev", 3).commit)
    site.license("apache-2.0")
    site.sign("ci")
    return site


def before(run: Run, *words: str) -> Any:
    made = run.plan(*words)
    Draft202012Validator(SCHEMA).validate(made)
    return made["outlook"]["before"]


def test_old_and_new_stand_side_by_side(run: Run, next_one: Site) -> None:
    engine(next_one, dtype="half")
    file = next_one.project.parent / "plan.md"
    old = manifest(2)
    assert before(run, "--markdown", str(file)) == {
        "chat": {
            "commit": old.commit,
            "digest": old.descriptor.digest,
            "size": old.size,
            "licenses": ["MIT"],
            "signers": ["release"],
            "values": {"engineArgs": {"dtype": "auto"}},
        }
    }
    told = [
        "3.0 kB",
        "MIT → Apache-2.0",
        "release → ci",
        'dtype: "auto" → dtype: "half"',
    ]
    assert f"| {' | '.join(told)} |" in file.read_text()
    assert "  ".join(["chat ", *told]) in run("plan", *SCOPE)


def test_nothing_runs_there_before_the_first_pin(run: Run, site: Site) -> None:
    site.world.pin("dev", site.commit(), "draft")
    found = before(run)
    assert found["draft"] is None
    assert found["chat"]["commit"] == manifest(1).commit


@pytest.mark.parametrize("lost", ["revision", "statements"])
def test_what_cannot_be_read_of_it_is_not_known(run: Run, next_one: Site, lost: str) -> None:
    commit = manifest(2).commit
    if lost == "revision":
        next_one.folder("test", layout.revision(REPO, commit)).unlink()
    else:
        for file in next_one.folder("test", layout.referrers(REPO, commit)).iterdir():
            file.write_bytes(b"{")
    found = before(run)["chat"]
    assert (found["commit"], found["size"]) == (commit, manifest(2).size)
    assert (found["licenses"], found["signers"]) == (None, None)
    assert "not known → Apache-2.0  not known → ci" in run("plan", *SCOPE)


def test_engine_arguments_of_what_no_plan_brought_are_not_known(run: Run, next_one: Site) -> None:
    next_one.world.pin("test", next_one.world.revision("test", 4).commit)
    assert before(run)["chat"]["values"] is None
    row = next(line for line in run("plan", *SCOPE).splitlines() if line.startswith("chat  "))
    assert row.endswith('  dtype: "auto"')


def test_what_is_said_of_it_later_makes_no_other_plan(run: Run, next_one: Site) -> None:
    made, store = run.plan(), next_one.world.store("test")
    old = store.manifest(REPO, manifest(2).commit)
    evidence.sign_provenance(store, REPO, old, next_one.keys["bob"], "a test")
    anew = run.plan()
    assert anew["outlook"]["before"]["chat"]["signers"] == ["bob", "release"]
    assert anew["digest"] == made["digest"]
    run("apply", str(run.file))


def test_files_are_named_as_in_the_project_from_wherever_it_is_looked_at(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment that says the same is not written again, and a forge finds the line."""
    site.policy(licenses=["MIT"])
    site.license("mit")
    run("plan", *SCOPE)
    found = run.json("plan", *SCOPE)["outlook"]["gates"]
    assert {one["file"] for one in found if one["file"]} >= {"values/policy.yaml"}
    monkeypatch.chdir(site.project / "values")
    monkeypatch.setattr(run, "site", replace(site, project=Path("..")))
    assert run.json("plan", *SCOPE)["outlook"]["gates"] == found
