"""Each forge's sample, every step of it run: from a change to production, also across a gap."""

import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.integration.pipelines.conftest import POLICY, Site
from tests.integration.pipelines.gap import history, inside, report
from tests.integration.pipelines.runner import Step

__all__ = ["inside"]  # Fixture.

FORGES = ("github", "gitlab", "jenkins")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FORGES)
def test_a_model_goes_from_a_change_to_production(name: str, site: Site, inside: Site) -> None:
    forge = site.forge(name, WAYBILL_CARRY="true")
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

    (promotion,) = re.findall(r"on the other side: replay prod ([0-9a-f]{12})\n", done.said)
    assert_denied(inside, name, promotion)
    assert_made(inside, name, promotion)
    assert inside.pinned("prod") == commit
    assert history(inside, "prod") == history(site, "prod") != []
    assert inside.pinned("test") is None, "no other environment has it"


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


def set_policy(site: Site, policy: dict[str, Any]) -> None:
    site.pull()
    (site.project / "values/policy.yaml").write_text(yaml.safe_dump(policy))
    site.push("The policy of this side")


def assert_denied(site: Site, name: str, promotion: str) -> None:
    """By the policy here, which wants one approval more than have come along."""
    prod = {**POLICY["steps"]["prod"], "approvals": {"count": 2, "of": ["managers", "release"]}}
    set_policy(site, {"steps": {**POLICY["steps"], "prod": prod}})
    forge = site.forge(name)
    denied = site.run(forge, forge.replayed("prod", promotion))
    assert denied.code == 3 and "1 of 2 have approved" in denied.said, denied.said
    assert "## test → prod: denied by approvals" in report(site, name)
    assert site.pinned("prod") is None
    set_policy(site, POLICY)


def assert_made(site: Site, name: str, promotion: str) -> None:
    """With evidence and approvals of the other side, and the words of the change in git."""
    forge = site.forge(name)
    done = site.run(forge, forge.replayed("prod", promotion))
    assert done.code == 0, done.said
    site.pull()
    message = site.git("log", "-1", "--format=%B")
    assert message.startswith("Promote chat from test to prod\n")
    assert f"Waybill-Plan: sha256:{promotion}" in message
    assert site.git("show", "--format=", "--name-only", "HEAD") == "values/pins/prod.yaml"
    assert "## test → prod: promoted" in report(site, name)


def test_a_promotion_that_is_none_ends_with_a_sentence(inside: Site) -> None:
    forge = inside.forge("github")
    for promotion, said in (("../../etc", "names no promotion"), ("0" * 12, "is not there")):
        done = inside.run(forge, forge.replayed("test", promotion))
        assert done.code == 1 and said in done.said, done.said


def test_nothing_is_carried_where_nobody_asks_for_it(site: Site) -> None:
    for name in FORGES:
        jobs = [job.name.lower() for job in site.forge(name).promoted("dev", "test")]
        assert jobs == ["plan", "promote"]


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
