"""values/policy.yaml is read strictly: a typing mistake must not open a gate."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.release.site import Site
from waybill.errors import BadFile
from waybill.release.policy import Policy

WINDOW = {"cron": "0 18 * * FRI", "duration": "62h", "timeZone": "Europe/Berlin"}
EVIDENCE = {"signedBy": ["ci"]}


def test_project_without_the_file_has_no_rules(site: Site) -> None:
    policy = Policy.load(site.environments)
    assert (policy.exists, policy.digest, policy.windows) == (False, None, ())
    assert policy.rules("test").keys == frozenset()
    assert policy.line("steps", "test") is None


def test_empty_file_is_a_policy_without_rules(site: Site) -> None:
    (site.project / "values/policy.yaml").write_text("# later\n")
    assert Policy.load(site.environments).exists


def test_what_is_written_is_what_is_asked(site: Site) -> None:
    site.policy(
        freeze={"weekend": {**WINDOW, "environments": ["prod"]}},
        repos=["acme/*"],
        licenses=["MIT"],
        signers=["release"],
        bytes="deep",
        soak="24h",
        health={"signedBy": ["watch"], "for": "90m", "requests": 5, "errorRate": 0.01},
        evaluations={"smoke": {**EVIDENCE, "maxAge": "14d", "warnings": "allow"}},
        approvals={"count": 2, "of": ["alice", "bob"]},
        gates={"scan": {"command": ["scan", "-x", "-x"], "timeout": "5s"}},
        require=["signature", "scan"],
    )
    policy = Policy.load(site.environments)
    rules = policy.rules("test")
    assert (rules.soak, rules.deep) == (timedelta(days=1), True)
    assert rules.health
    assert (rules.health.span, rules.health.ttft_p95) == (timedelta(minutes=90), None)
    assert rules.evaluations["smoke"].max_age == timedelta(days=14)
    assert rules.commands["scan"].words == ("scan", "-x", "-x")
    assert rules.keys == {"release", "watch", "ci", "alice", "bob"}
    assert not policy.windows[0].holds_for("test")
    assert policy.rules("prod").keys == frozenset()


def test_line_of_a_rule_or_of_what_it_would_be_part_of(site: Site) -> None:
    (site.project / "values/policy.yaml").write_text(
        "# The policy.\nsteps:\n  test:\n    # a day\n    soak: 24h\nfreeze:\n"
        "  weekend: {cron: 0 18 * * FRI, duration: 62h,\n    timeZone: UTC}\n"
    )
    policy = Policy.load(site.environments)
    assert policy.line("steps", "test", "soak") == 5
    assert policy.line("steps", "test", "approvals") == 3
    assert policy.line("steps", "prod") == 2
    assert policy.line("freeze", "weekend", "timeZone") == 8
    assert policy.line("other") == 1


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"soka": "1h"}, "the key 'soka' is not known"),
        ({"soak": "1 hour"}, "'1 hour' is not a time such as 90m, 24h or 14d"),
        ({"soak": 24}, "24 is not a string; quote it"),
        ({"signers": ["releas"]}, "steps.test: keys: 'releas' is not known; known are: release"),
        ({"approvals": {"count": 1, "of": ["mallory"]}}, "'mallory' is not known"),
        ({"approvals": {"count": 0, "of": ["bob"]}}, "minimum"),
        ({"approvals": {"count": 3, "of": ["alice", "bob"]}}, "3 of fewer keys cannot agree"),
        (
            {"approvals": {"count": 2, "of": ["alice", "bob"], "plannedBy": ["alice", "bob"]}},
            "2 of fewer keys cannot agree",
        ),
        (
            {"approvals": {"count": 1, "of": ["bob"], "plannedBy": ["mallory"]}},
            "'mallory' is not known",
        ),
        ({"approvals": {"of": ["bob"]}}, "the key 'count' is missing"),
        ({"approvals": {"count": "1", "of": ["bob"]}}, "'1' is not a whole number"),
        ({"require": ["sign"]}, "steps.test.require: 'sign' is not known"),
        ({"gates": {"freeze": {"command": ["x"]}}}, "there is a gate of that name"),
        ({"gates": {"scan": {"command": "scan all"}}}, "'scan all' is not a list"),
        ({"health": {"for": "1h"}}, "the key 'signedBy' is missing"),
        ({"health": {"for": "1h", "signedBy": ["ci"], "errorRate": 5}}, "5 is greater than"),
        ({"evaluations": {"smoke": {}}}, "the key 'signedBy' is missing"),
        ({"licenses": []}, "[] should be non-empty"),
        ({"bytes": "none"}, "'none' is not one of"),
    ],
)
def test_rule_that_could_never_be_meant_is_refused(
    site: Site, step: dict[str, Any], why: str
) -> None:
    site.policy(**step)
    with pytest.raises(BadFile) as caught:
        Policy.load(site.environments)
    assert why in str(caught.value)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.INF"])
def test_limit_that_nothing_exceeds_is_refused(site: Site, number: str) -> None:
    site.policy(health={"signedBy": ["ci"], "for": "1h", "errorRate": 0.125})
    path = site.project / "values/policy.yaml"
    path.write_text(path.read_text().replace("0.125", number))
    with pytest.raises(BadFile, match="is not a number with an end"):
        Policy.load(site.environments)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cron": "0 18 * * FRIDAY"}, "freeze.weekend: cron '0 18 * * FRIDAY'"),
        ({"timeZone": "Berlin"}, "freeze.weekend: timeZone 'Berlin' is not known"),
        ({"duration": "62"}, "'62' is not a time"),
        ({"environments": ["production"]}, "'production' is not known; known are: dev, test, prod"),
    ],
)
def test_window_that_nobody_could_mean_is_refused(
    site: Site, more: dict[str, Any], why: str
) -> None:
    site.policy(freeze={"weekend": {**WINDOW, **more}})
    with pytest.raises(BadFile) as caught:
        Policy.load(site.environments)
    assert why in str(caught.value)


def test_step_to_nowhere_is_refused(site: Site) -> None:
    (site.project / "values/policy.yaml").write_text("steps: {production: {soak: 1h}}\n")
    with pytest.raises(BadFile, match="steps: 'production' is not known"):
        Policy.load(site.environments)


def test_keys_need_a_trust_policy_that_names_them(site: Site) -> None:
    (site.project / "values/policy.yaml").write_text("steps: {prod: {signers: [release]}}\n")
    with pytest.raises(BadFile, match="prod has no trust policy, and keys are named there"):
        Policy.load(site.environments)


def test_two_names_of_one_key_are_not_two_people(site: Site) -> None:
    site.keys["carol"] = site.keys["alice"]
    site.trust()
    site.policy(approvals={"count": 2, "of": ["alice", "carol"]})
    with pytest.raises(BadFile, match="alice and carol are one and the same"):
        Policy.load(site.environments)
