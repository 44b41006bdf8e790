"""plan --key: whose plan it is, said where people and policies see it."""

from jsonschema import Draft202012Validator

from tests.unit.cli.test_plan_commands import Run, policed, run, site
from tests.unit.release.site import Site
from waybill.release.plan_schema import SCHEMA

__all__ = ["policed", "run", "site"]  # Fixtures.

ASKED = {"count": 1, "of": ["alice", "bob"], "plannedBy": ["alice", "ci"]}


def approve(run: Run, key: str) -> str:
    return run("approve", str(run.file), "--key", run.key(key), "--by", key)


def test_who_plans_under_another_name_does_not_approve_it(run: Run, site: Site) -> None:
    site.policy(approvals=ASKED)
    made = run.plan("--key", run.key("alice"), "--by", "somebody")
    Draft202012Validator(SCHEMA).validate(made)
    assert made["plan"]["by"] == "somebody"
    told = "as alice, which does not count: the plan is their own"
    assert told in approve(run, "alice")
    run("apply", str(run.file), "--by", "pipeline", code=3)
    assert f"approved {made['digest']} as bob: " in approve(run, "bob")
    run("apply", str(run.file), "--by", "pipeline")
    rows = [line.split() for line in run("evidence", "chat", "--env", "test").splitlines()]
    (said,) = [row for row in rows if row[:1] == ["plan"]]
    assert said[1:6] == ["dev", "→", "test", "by", "somebody"]
    assert "alice" in said


def test_approver_is_warned_of_a_plan_that_is_not_signed(run: Run, site: Site) -> None:
    site.policy(approvals=ASKED)
    run.plan()
    approve(run, "bob")
    assert "warning: none of alice, ci has signed that sha256:" in run.said
    run("apply", str(run.file), code=3)
    assert "so no approval of it counts" in run.said
    run.plan("--key", run.key("ci"))
    approve(run, "bob")
    assert "warning" not in run.said
    run("apply", str(run.file))
