"""The CronJob that looks for drift: what it is told, what it may read, what it compares."""

from collections import Counter

import yaml

from tests.chart.rendering import CASES, PINS, Object, Render, containers, named, of_kind
from waybill.cli.drift import SHOWN
from waybill.release.drift import KINDS
from waybill.release.hub_drift import Limits

ON = {"drift": {"enabled": True}}
LEFT_OUT = ("t-drift", "t-keycloak-realm", "t-secrets", "t-dashboard")
"""ConfigMaps: its own, those of Jobs that have run, and what people look at."""


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
        count, all_of = (
            Counter(
                (o["kind"], o["metadata"]["name"]) for o in of_kind(a, *KINDS.keys() - {"CronJob"})
            )
            for a in (told, objects)
        )
        assert {name for kind, name in all_of - count if kind == "ConfigMap"} <= set(LEFT_OUT)
        assert not [name for kind, name in all_of - count if kind != "ConfigMap"]


def test_whom_the_hub_trusts_is_compared(render: Render) -> None:
    """Loosened by hand, it lets in what the policy of the files does not."""
    policy = {"modelHub": {"trust": {"policy": "keys: {}\ndefault: {unsigned: allow}\n"}}}
    told = expected(render(*CASES["prod"], ON, policy))
    assert named(told, "ConfigMap", "model-hub-trust")["data"]
    assert of_kind(told, "Ingress")


def test_the_weights_of_the_gateway_are_compared(render: Render) -> None:
    told = expected(render(*CASES["test"], ON))
    assert "routes.yaml" in named(told, "ConfigMap", "gateway-routes")["data"]


def test_it_may_list_what_it_compares_and_nothing_else(render: Render) -> None:
    for case in ((), CASES["test"], CASES["prod"]):
        objects = render(*case, ON)
        rules = named(objects, "Role", "drift")["rules"]
        assert {verb for rule in rules for verb in rule["verbs"]} == {"list"}
        may = {name for rule in rules for name in rule["resources"]}
        compared = {KINDS[one["kind"]] for one in of_kind(expected(objects), *KINDS)}
        assert compared <= may <= {*KINDS.values()}
        assert ("ingresses" in may) == ("ingresses" in compared)


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
