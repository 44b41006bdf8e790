"""Monitors, alerts and the dashboard ask for what is there."""

import json
import re

import pytest
import yaml

from tests.chart.rendering import CASES, CHART, Render, named, of_kind
from waybill.cli.drift import METRICS
from waybill.generate import dashboard
from waybill.hub.metrics import Metrics

METRIC = re.compile(r"([\w:]+)\{")
"""A name before a selector."""
ALERTS = yaml.safe_load((CHART / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    return [*dashboard.expressions(), *(rule["expr"] for rule in RULES)]


def test_metrics_of_ours_are_those_we_have() -> None:
    known = METRICS.keys() | {
        name
        for family in Metrics().registry.collect()
        for name in (f"{family.name}_total", f"{family.name}_bucket")
    }
    asked = {name for text in queries() for name in METRIC.findall(text) if "waybill" in name}
    assert asked
    assert asked <= known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_happened_and_what_to_do(rule: dict) -> None:
    assert rule["alert"].startswith("Waybill")
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["runbook"]) > 30
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert all(label in rule["expr"] or label == "pod" for label in used)


@pytest.mark.parametrize("text", queries())
def test_a_query_asks_for_this_release_alone(text: str) -> None:
    assert text.count("(") == text.count(")")
    assert METRIC.search(text)
    assert text.count("{") == text.count("{OURS")


def test_alerts_know_their_release(render: Render) -> None:
    rule = named(render(*CASES["test"]), "PrometheusRule", "alerts")
    text = json.dumps(rule["spec"])
    assert "OURS" not in text
    assert json.dumps('up{namespace="ns",release="t"')[1:-1] in text
    assert "{{ $labels.pod }}" in text


def test_nobody_is_missed_who_is_not_to_look_for_drift(render: Render) -> None:
    """Of a Job that never ran there is no series to compare."""
    blind = next(rule for rule in RULES if rule["alert"] == "WaybillDriftBlind")
    assert "absent_over_time(waybill_drift_unread_kinds{OURS}[2h])" in blind["expr"]
    assert blind["for"] == "2h30m", "its first Job comes an hour after the release"
    for enabled, read in ((True, True), (True, False), (False, True)):
        monitoring = {"podMonitors": {"enabled": read}}
        values = {"drift": {"enabled": enabled}, "monitoring": monitoring}
        rendered = render(*CASES["test"], values)
        groups = named(rendered, "PrometheusRule", "alerts")["spec"]["groups"]
        assert ("waybill-drift" in {group["name"] for group in groups}) is (enabled and read)
        assert {"waybill-hub", "waybill-gateway"} <= {group["name"] for group in groups}


def test_series_carry_the_labels_that_queries_ask_for(render: Render) -> None:
    for monitor in of_kind(render(*CASES["test"]), "PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        targets = {rule["targetLabel"] for rule in endpoint["relabelings"]}
        assert targets == {"release", "component"}


def test_the_dashboard_arrives_whole(render: Render) -> None:
    config = named(render(*CASES["test"]), "ConfigMap", "dashboard")
    assert json.loads(config["data"]["waybill.json"]) == dashboard.board()


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard.board()["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_monitoring_is_off_by_default(render: Render) -> None:
    assert not of_kind(render(), "PodMonitor", "PrometheusRule")
