"""Each forge's sample, every step of it run: from a change over dev and test to production."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.integration.pipelines.conftest import Site
from tests.integration.pipelines.runner import Step

FORGES = ("github", "gitlab", "jenkins")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FORGES)
def test_a_model_goes_from_a_change_to_production(name: str, site: Site) -> None:
    forge = site.forge(name)
    site.bring("good morning")
    before, after = site.push("Bring chat", to="change")
    seen = site.run(forge, forge.changed(before))
    assert seen.code == 0, seen.said
    assert "## chat, into dev" in seen.said and "would send 2 of 2 blobs" in seen.said
    assert site.pinned("dev") is None, "a change changes nothing"

    site.git("push", "--quiet", "origin", f"{after}:refs/heads/main")
    loaded = site.run(forge, forge.merged(before))
    assert loaded.code == 0, loaded.said
    commit = site.pinned("dev")
    assert commit and commit in loaded.said

    for source, target in (("dev", "test"), ("test", "prod")):
        done = site.run(forge, forge.promoted(source, target))
        assert done.code == 0, done.said
        assert site.pinned(target) == commit
    assert_told(site, commit)


def assert_told(site: Site, commit: str) -> None:
    """Git, history and reports say the same of the last step."""
    plan = json.loads((site.runner.kept / "plan-prod.json").read_text())
    assert plan["plan"]["models"]["chat"]["commit"] == commit
    assert plan["plan"]["by"] != "pipeline", "who has started it does not approve it"
    assert f"Waybill-Plan: {plan['digest']}" in site.git("log", "-1", "--format=%B")
    assert site.git("show", "--format=", "--name-only", "HEAD") == "values/pins/prod.yaml"
    report = (site.runner.kept / "plan-prod.md").read_text()
    assert "test → prod" in report and "acceptance" in report
    suite = ElementTree.parse(site.runner.kept / "plan-prod.xml").getroot()  # noqa: S314 - our own
    assert {case.get("name") for case in suite.iter("testcase")} >= {"approvals", "signature"}
    (step,) = site.told("history", "chat", "--env", "prod")["environments"]["prod"]
    assert (step["commit"], step["plan"]) == (commit, plan["digest"])
    assert step["evidence"], "what the gates went by is in the record"


@pytest.mark.timeout(600)
def test_without_what_the_policy_asks_for_nothing_moves_and_a_rerun_goes_on(site: Site) -> None:
    forge = site.forge("github")
    site.bring("good morning")
    before, _ = site.push("Bring chat")
    assert site.run(forge, forge.merged(before)).code == 0
    assert site.run(forge, forge.promoted("dev", "test")).code == 0

    plan, *rest = forge.promoted("test", "prod")
    unsigned = [replace(job, steps=tuple(map(without_approval, job.steps))) for job in rest]
    denied = site.run(forge, [plan, *unsigned])
    assert denied.code == 3 and "denied: approvals" in denied.said, denied.said
    assert site.pinned("prod") is None

    site.pull()
    (site.project / "NOTES").write_text("Something else.\n")
    site.push("Something else")
    again = site.run(forge, rest)
    assert again.code == 0, again.said
    assert site.pinned("prod") == site.pinned("test")
    done = site.run(forge, rest)
    assert site.git("log", "-1", "--format=%s", "origin/main").startswith("Promote chat"), done.said


def without_approval(step: Step) -> Step:
    return replace(step, env={**step.env, "WAYBILL_APPROVAL_KEY": ""})
