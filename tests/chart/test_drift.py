"""The CronJob that looks for drift: what it is told, what it may read, what it compares."""

from collections import Counter

import yaml

from tests.chart.rendering import CASES, PINS, Object, Render, containers, named, of_kind
from waybill.cli.drift import SHOWN
from waybill.release.hub_drift import Limits

ON = {"drift": {"enabled": True}}
COMPARED = ("Deployment", "NetworkPolicy", "StatefulSet")
"""Kinds of which it has to know all: it calls one more of them one too many."""
PLURAL = {"NetworkPolicy": "networkpolicies", "PodDisruptionBudget": "poddisruptionbudgets"}


def expected(objects: list[Object]) -> list[Object]:
    text = named(objects, "ConfigMap", "drift")["data"]["expected.yaml"]
    return [one for one in yaml.safe_load_all(text) if one]


def test_it_is_off_by_default(render: Render) -> None:
    assert not of_kind(render(), "CronJob")
    assert not [one for one in render() if one["metadata"]["name"] == "t-drift"]


def test_it_compares_what_is_rendered_and_all_of_what_runs(render: Render) -> None:
    for case in CASES.values():
        objects = render(*case, ON)
        known = {(one["kind"], one["metadata"]["name"]): one for one in objects}
        told = expected(objects)
        for one in told:
            assert one == known[one["kind"], one["metadata"]["name"]]
        count, all_of = (Counter(o["kind"] for o in of_kind(a, *COMPARED)) for a in (told, objects))
        assert count == all_of


def test_the_weights_of_the_gateway_are_compared(render: Render) -> None:
    told = expected(render(*CASES["test"], ON))
    assert "routes.yaml" in named(told, "ConfigMap", "gateway-routes")["data"]


def test_it_may_list_what_it_compares_and_nothing_else(render: Render) -> None:
    objects = render(*CASES["test"], ON)
    rules = named(objects, "Role", "drift")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list"}
    may = {name for rule in rules for name in rule["resources"]}
    kinds = {one["kind"] for one in expected(render(*CASES["prod"], ON))}
    assert may == {PLURAL.get(kind, f"{kind.lower()}s") for kind in kinds}


def test_it_waits_for_prometheus_only_where_there_is_one(render: Render) -> None:
    monitored = named(render(*CASES["test"], ON), "CronJob", "drift")
    alone = named(render(ON), "CronJob", "drift")
    assert "--metrics-port=9090" in containers(monitored)[0]["args"]
    assert "--metrics-port=9090" not in containers(alone)[0]["args"]


def test_it_ends_by_itself_before_its_deadline(render: Render) -> None:
    job = named(render(*CASES["test"], ON), "CronJob", "drift")["spec"]["jobTemplate"]["spec"]
    limits = Limits()
    # A question that is asked at the end may take so long to connect, and again for its answer.
    hub = limits.budget + 2 * limits.answer
    start = 180
    assert start + hub + SHOWN <= job["activeDeadlineSeconds"]


def test_it_asks_the_hub_for_each_pinned_revision(render: Render) -> None:
    pins = yaml.safe_load(PINS.read_text())["global"]["pins"]
    wanted = [
        f"--pinned={revision['repo']}@{revision['digest']}"
        for pin in pins.values()
        for revision in pin["revisions"].values()
    ]
    objects = render(*CASES["test"], ON)
    args = containers(named(objects, "CronJob", "drift"))[0]["args"]
    assert sorted(arg for arg in args if arg.startswith("--pinned")) == sorted(wanted)
    (hub,) = [arg for arg in args if arg.startswith("--hub=")]
    pulls = [
        one["args"]
        for each in of_kind(objects, "Deployment")
        for one in each["spec"]["template"]["spec"].get("initContainers", ())
    ]
    assert pulls and all(hub in each for each in pulls), "the one that engines ask"
