"""Alerts and dashboard as Prometheus reads them: what fires on trouble, and on nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tests.chart.prometheus import Labels, Values, collected, evaluate, steps
from tests.chart.rendering import CASES, Object, Render, named
from waybill.generate import dashboard

BEGIN = 30
"""Minutes of health before the trouble begins."""
_BEGIN, _END = steps(BEGIN), steps(90)
ENGINE = "vllm-chat-11111111"
NEVER = f"_x{_END}"


def then(before: float, after: float) -> str:
    return f"{before}x{_BEGIN - 1} {after}x{_END}"


def growing(before: float, after: float) -> str:
    """A counter, by what each step adds."""
    return f"0+{before}x{_BEGIN - 1} {before * _BEGIN}+{after}x{_END}"


def steady(value: float) -> str:
    return then(value, value)


def late(more: float) -> str:
    """A counter that is not there until it first counts."""
    return f"_x{_BEGIN} 1+{more}x{_END}"


def taking(before: float, after: float) -> Values:
    """A histogram of two events a step, which take so many seconds."""

    def bucket(labels: Labels) -> str:
        end = float(labels["le"])
        return growing(2 * (end >= before), 2 * (end >= after))

    return bucket


HEALTHY: Sequence[tuple[str, Values]] = (
    ("", steady(0)),
    (r"^up\{", steady(1)),
    (r"^process_start_time_seconds", steady(1_700_000_000)),
    (r"^vllm:(generation_tokens|prompt_tokens|prefix_cache)", growing(100, 100)),
    (r'^vllm:request_success_total\{.*"stop"', growing(30, 30)),
    (r"_seconds_bucket", taking(0.2, 0.2)),
    (r"^vllm:kv_cache_usage_perc", steady(0.5)),
    (r'^envoy_cluster_upstream_rq_xx\{.*class="2"', growing(30, 30)),
    (r'^envoy_cluster_upstream_rq_xx\{.*class="5"', NEVER),
    (r"^envoy_cluster_membership_healthy\{.*@", steady(1)),
    (r'^waybill_hub_requests_total\{.*"200"', growing(6, 6)),
    (r'^waybill_hub_requests_total\{.*"503"', NEVER),
    (r"^waybill_hub_store_errors_total", NEVER),
    (r"^minio_cluster_capacity_usable_free_bytes", steady(50)),
    (r"^minio_cluster_capacity_usable_total_bytes", steady(100)),
    # One Job, which has found nothing, and is gone.
    (r'component="drift"', "_x10 0x5 stale"),
    (r'^up\{component="drift"', "_x9 0 1x5 stale"),
)


@dataclass(frozen=True)
class Trouble:
    """What begins after BEGIN; `quiet` and `fires` are minutes after it, `labels` the alert's."""

    quiet: int
    fires: int
    series: Mapping[str, Values]
    labels: Labels = field(default_factory=dict)


TROUBLES = {
    "WaybillEngineDown": Trouble(
        29, 31, {rf'^up\{{component="{ENGINE}"': then(1, 0)}, {"component": ENGINE}
    ),
    "WaybillEngineStartsOften": Trouble(
        9,
        12,
        {rf'^process_start_time_seconds\{{component="{ENGINE}"': "1x59 2x9 3x9 4x99"},
        {"pod": f"t-{ENGINE}-0"},
    ),
    "WaybillRequestsWait": Trouble(
        4,
        6,
        {rf'^vllm:num_requests_waiting\{{component="{ENGINE}"': then(0, 20)},
        {"component": ENGINE},
    ),
    "WaybillKvCacheFull": Trouble(
        9,
        11,
        {rf'^vllm:kv_cache_usage_perc\{{component="{ENGINE}"': then(0.5, 0.99)},
        {"component": ENGINE},
    ),
    "WaybillPreemptions": Trouble(
        10,
        20,
        {rf'^vllm:num_preemptions_total\{{component="{ENGINE}"': growing(0, 6)},
        {"component": ENGINE},
    ),
    "WaybillRejections": Trouble(
        4,
        7,
        {rf'^vllm:admission_rejections_total\{{component="{ENGINE}"': growing(0, 1)},
        {"component": ENGINE},
    ),
    "WaybillSlowFirstToken": Trouble(
        9,
        20,
        {r"^vllm:time_to_first_token_seconds_bucket": taking(0.2, 20)},
        {"model_name": "model"},
    ),
    "WaybillSlowTokens": Trouble(
        9,
        20,
        {r"^vllm:inter_token_latency_seconds_bucket": taking(0.02, 1)},
        {"model_name": "model"},
    ),
    "WaybillEngineErrors": Trouble(
        4,
        15,
        {rf'^vllm:request_success_total\{{component="{ENGINE}".*"error"': growing(0, 1)},
        {"component": ENGINE, "severity": "critical"},
    ),
    "WaybillDown": Trouble(4, 6, {r'^up\{component="gateway"': then(1, 0)}, {"pod": "t-gateway-0"}),
    "WaybillMetricsMissing": Trouble(
        9,
        11,
        {r'component="gateway"': f"1x{_BEGIN - 1} stale"},
        {"component": "gateway"},
    ),
    "WaybillNoEngineAnswers": Trouble(
        4,
        6,
        {r"^envoy_cluster_membership_healthy\{.*chat@": then(1, 0)},
        {"model": "chat", "severity": "critical"},
    ),
    "WaybillGatewayErrors": Trouble(
        4,
        8,
        {r'^envoy_cluster_upstream_rq_xx\{.*"cheap/stable".*class="5"': late(5)},
        {"envoy_cluster_name": "cheap/stable"},
    ),
    "WaybillStoreFails": Trouble(4, 7, {r"^waybill_hub_store_errors_total": late(1)}),
    # Among as many answers to probes as a hub gives.
    "WaybillHubErrors": Trouble(4, 12, {r'^waybill_hub_requests_total\{.*"503"': late(0.5)}),
    "WaybillStoreAlmostFull": Trouble(
        14, 16, {r"^minio_cluster_capacity_usable_free_bytes": then(50, 5)}
    ),
}


def rules(objects: list[Object]) -> Object:
    spec: Object = named(objects, "PrometheusRule", "alerts")["spec"]
    return spec


def begun(minutes: int) -> str:
    """The time so many minutes after the trouble began."""
    return f"{BEGIN + minutes}m"


def firing(answer: Mapping[str, Mapping[str, list[Object]]], at: str) -> dict[str, Object]:
    """The labels of what fires at that time, by name."""
    for each in answer["alerts"][at]:
        assert each["labels"].items() >= {"namespace": "ns", "release": "t"}.items()
        for text in each["annotations"].values():
            assert "{{" not in text and "<" not in text
    found = {each["labels"]["alertname"]: each["labels"] for each in answer["alerts"][at]}
    assert len(found) == len(answer["alerts"][at])
    return found


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_fires_its_own_alert_in_its_time(render: Render, name: str) -> None:
    objects, trouble = render(*CASES["test"]), TROUBLES[name]
    series = collected(objects, [*HEALTHY, *trouble.series.items()])
    before, after = begun(trouble.quiet), begun(trouble.fires)
    answer = evaluate(rules(objects), series, before, after)
    assert not firing(answer, before)
    fired = firing(answer, after)
    assert fired.keys() == {name}
    assert fired[name].items() >= trouble.labels.items()


def test_every_alert_has_its_trouble(render: Render) -> None:
    groups = rules(render(*CASES["test"]))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert alerts == TROUBLES.keys() | {"WaybillDrift", "WaybillDriftBlind"}


@pytest.mark.parametrize("case", ["test", "prod", "everything"])
def test_health_fires_nothing(render: Render, case: str) -> None:
    objects = render(*CASES[case])
    answer = evaluate(rules(objects), collected(objects, HEALTHY), "5m", "30m", "1h15m")
    assert not any(firing(answer, at) for at in answer["alerts"])


@pytest.mark.parametrize(
    "series",
    [
        pytest.param({r"^envoy_cluster_membership_healthy\{.*chat@2": then(1, 0)}, id="canary"),
        pytest.param({r'^up\{component="drift"': f"_x{_BEGIN} 0x{_END}"}, id="waiting Job"),
        pytest.param({r"^vllm:.*(_total|_bucket)\{": steady(7)}, id="no requests"),
        pytest.param({r'^vllm:request_success_total\{.*"stop"': "0+9x80 0+9x80"}, id="restart"),
    ],
)
def test_what_is_no_trouble_fires_nothing(render: Render, series: Mapping[str, Values]) -> None:
    objects = render(*CASES["test"])
    answer = evaluate(rules(objects), collected(objects, [*HEALTHY, *series.items()]), "1h5m")
    assert not firing(answer, "1h5m")


def test_a_gateway_that_says_it_ends_makes_no_error(render: Render) -> None:
    objects = render(*CASES["test"])
    series = collected(objects, HEALTHY)
    (own,) = (name for name in series if "upstream_rq_xx" in name and '"admin"' in name)
    series[own.replace('class="2"', 'class="5"')] = late(60)
    assert not firing(evaluate(rules(objects), series, "1h5m"), "1h5m")


def test_another_release_is_none_of_ours(render: Render) -> None:
    objects = render(*CASES["test"])
    broken = [*HEALTHY, *(each for one in TROUBLES.values() for each in one.series.items())]
    theirs = {
        name.replace('release="t"', 'release="u"'): values
        for name, values in collected(objects, broken).items()
    }
    answer = evaluate(rules(objects), collected(objects, HEALTHY) | theirs, "1h10m")
    assert not firing(answer, "1h10m")


def test_nothing_at_all_is_told(render: Render) -> None:
    answer = evaluate(rules(render(*CASES["test"])), {}, "9m", "11m", "2h29m", "2h30m")
    assert not firing(answer, "9m")
    assert firing(answer, "11m").keys() == {"WaybillMetricsMissing"}
    assert firing(answer, "2h29m").keys() == {"WaybillMetricsMissing"}
    assert firing(answer, "2h30m").keys() == {"WaybillMetricsMissing", "WaybillDriftBlind"}


def test_a_gateway_that_is_not_wanted_is_not_missed(render: Render) -> None:
    objects = render(*CASES["test"], {"gateway": {"enabled": False}})
    answer = evaluate(rules(objects), collected(objects, HEALTHY), "1h")
    assert not firing(answer, "1h")


def looked(*jobs: tuple[int, int]) -> str:
    """What Jobs show for three minutes each: from which minute on, and what."""
    parts, now = [], 0
    for minute, value in jobs:
        parts.append(f"_x{steps(minute) - now} {value}x5 stale")
        now = steps(minute) + 7
    return " ".join([*parts, f"_x{steps(400) - now}"])


def hourly(*shown: int | None) -> str:
    """A quarter past each hour; None is one that does not run."""
    each = enumerate(shown)
    return looked(*((60 * hour + 15, value) for hour, value in each if value is not None))


DRIFT, BLIND = "WaybillDrift", "WaybillDriftBlind"
LOOKS: Mapping[str, tuple[str, str, Mapping[str, set[str]]]] = {
    "good": (hourly(0, 0, 0, 0, 0), hourly(0, 0, 0, 0, 0), {"4h50m": set()}),
    "mended": (
        hourly(0, 2, 0, 0, 0),
        hourly(0, 0, 0, 0, 0),
        {"1h10m": set(), "1h16m": {DRIFT}, "3h10m": {DRIFT}, "3h20m": set()},
    ),
    "forbidden": (
        hourly(0, 0, 0, 0, 0),
        hourly(0, 1, 1, 1, 1),
        {"3h40m": set(), "3h50m": {BLIND}, "4h50m": {BLIND}},
    ),
    "once": (
        hourly(0, 0, 0, 0, 0),
        hourly(0, 1, 0, 0, 0),
        {"3h15m": set(), **{f"3h{minute}m": set() for minute in range(16, 22)}, "4h50m": set()},
    ),
    "twice": (
        hourly(0, 0, 0, 0, 0),
        hourly(0, 1, 1, 0, 0),
        {"3h40m": set(), "3h50m": {BLIND}, "4h20m": set()},
    ),
    # The first late by all that a Job may be, the second not at all.
    "twice, and late": (hourly(0), looked((101, 1), (137, 1), (197, 0)), {"4h16m": {BLIND}}),
    "missed": (hourly(0, None, 0, 0), hourly(0, None, 0, 0), {"2h20m": set(), "3h20m": set()}),
    # Every two hours, one not at all, and the next as late as it may be.
    "missed and late": (
        looked((15, 0), (279, 0)),
        looked((15, 0), (279, 0)),
        {"4h38m": set(), "4h45m": set()},
    ),
    "suspended": (
        hourly(0, None, None, None, None),
        hourly(0, None, None, None, None),
        {"4h40m": set(), "4h50m": {BLIND}},
    ),
    "forbidden, then suspended": (
        hourly(1, None, None, None, None),
        hourly(1, None, None, None, None),
        {"1h50m": {DRIFT}, "2h16m": {DRIFT}, "2h29m": set(), "2h30m": {BLIND}, "4h": {BLIND}},
    ),
}
"""Differences and kinds unread as Jobs show them, and what fires when."""


@pytest.mark.parametrize("looks", LOOKS)
def test_drift_is_told_for_as_long_as_it_lasts(render: Render, looks: str) -> None:
    findings, unread, told = LOOKS[looks]
    objects = render(*CASES["test"])
    shown = collected(
        objects, [("", NEVER), ("^waybill_drift_findings", findings), ("_unread_kinds", unread)]
    )
    groups = [group for group in rules(objects)["groups"] if group["name"] == "waybill-drift"]
    only = {name: values for name, values in shown.items() if "waybill_drift" in name}
    answer = evaluate({"groups": groups}, only, *told)
    assert {at: set(firing(answer, at)) for at in told} == told


def test_every_query_of_the_dashboard_finds_something(render: Render) -> None:
    objects = render(*CASES["test"])
    queries = {
        target["expr"]
        .replace("$__rate_interval", "2m")
        .replace("$namespace", "ns")
        .replace("$release", "t")
        for panel in dashboard.board()["panels"]
        for target in panel.get("targets", ())
    }
    busy = [*HEALTHY, (r"^process_start", "0x180"), ("_total", growing(1, 1))]
    answer = evaluate(rules(objects), collected(objects, busy), "50m", queries=queries)
    without = {query for query, found in answer["results"].items() if not found}
    # MinIO shows it once it has happened.
    assert [query for query in without if "5xx_errors_total" not in query] == []
    assert len(without) == 1 < len(queries)


@pytest.mark.parametrize(
    "broken",
    [
        {"alert": "Two", "expr": "sum(up) by"},
        {"alert": "Two", "expr": "up", "four": "5m"},
        {"alert": "Two", "expr": "up", "annotations": {"summary": "{{ $labels.pod"}},
        {"alert": "Two", "expr": "up", "for": "soon"},
    ],
)
def test_rules_are_read_strictly(broken: Object) -> None:
    with pytest.raises(AssertionError, match="error: "):
        evaluate({"groups": [{"name": "one", "rules": [broken]}]}, {}, "1m")
