"""What a Prometheus in the cluster would have collected of a release, and which alerts fire on it.

Series come from the PodMonitors and pods that the chart renders, and from pages of metrics as the
servers show them: those of other projects lie in tests/fixtures/metrics, where tests/integration
compares their names and labels with the pinned servers.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tests.chart.rendering import Object, containers, of_kind, pod_labels, workloads
from tests.services import needs
from waybill.cli.drift import METRICS
from waybill.errors import StoreUnreachable
from waybill.hub.metrics import Metrics

PAGES = Path("tests/fixtures/metrics")
STEP = 30
"""Seconds from one scrape, and one evaluation, to the next."""
Labels = Mapping[str, str]
Values = str | Callable[[Labels], str]
"""In promtool's notation, one value for each step."""


def steps(minutes: float) -> int:
    return int(minutes * 60 / STEP)


def evaluate(
    rules: Object, series: Mapping[str, str], *at: str, queries: Iterable[str] = ()
) -> dict[str, Any]:
    """`alerts` that fire by time, and `results` by query at the last of the times.

    Raises AssertionError with what Prometheus said when it does not take rules or queries.
    """
    request = {
        "rules": {"groups": rules["groups"]},
        "interval": f"{STEP}s",
        "series": dict(series),
        "at": at,
        "queries": list(queries),
    }
    command = [needs("WAYBILL_TEST_PROMRULES")]
    done = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def collected(objects: Sequence[Object], behaviour: Sequence[tuple[str, Values]]) -> dict[str, str]:
    """Series of each pod that a PodMonitor selects, by name and labels.

    `behaviour` has patterns of series with their values; the last that matches counts.
    """
    found = {}
    for target, component in targets(objects):
        for name, labels in [("up", {}), *page(component)]:
            everything = {**labels, **target}
            text = ",".join(f"{key}={json.dumps(everything[key])}" for key in sorted(everything))
            series = f"{name}{{{text}}}"
            values = [each for pattern, each in behaviour if re.search(pattern, series)][-1]
            found[series] = values if isinstance(values, str) else values(everything)
    return found


def targets(objects: Sequence[Object]) -> Iterator[tuple[Labels, str]]:
    """The labels that the operator's configuration gives to each pod, and which part it is."""
    for monitor in of_kind(objects, "PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        for workload in workloads(objects):
            labels, named = pod_labels(workload), workload["metadata"]["name"]
            ports = {
                port["name"]: one["name"]
                for one in containers(workload)
                for port in one.get("ports", ())
            }
            if not wanted <= labels.items() or endpoint["port"] not in ports:
                continue
            meta = {
                "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", key): value
                for key, value in labels.items()
            }
            target = {
                "namespace": "ns",
                "pod": f"{named}-0",
                "container": ports[endpoint["port"]],
                "endpoint": endpoint["port"],
                "job": f"ns/{monitor['metadata']['name']}",
                "instance": f"{named}:1",
            }
            for rule in endpoint["relabelings"]:
                target[rule["targetLabel"]] = meta[rule["sourceLabels"][0]]
            yield target, labels["app.kubernetes.io/name"]


def page(component: str) -> Iterator[tuple[str, Labels]]:
    """Names and labels of what a part shows of itself."""
    shown = {"model-hub": _hub, "drift": _drift}.get(component)
    kept = PAGES / f"{component}.prom"
    text = shown() if shown else kept.read_text() if kept.exists() else ""
    yield from series_of(text)


def series_of(text: str) -> Iterator[tuple[str, Labels]]:
    """Of a page, as it is; the parser of Python's client renames counters."""
    for name, labels in re.findall(r"^([a-z][\w:]*)(?:\{(.*)\})? ", text, re.MULTILINE):
        yield name, dict(re.findall(r'(\w+)="([^"]*)"', labels))


def _hub() -> str:
    metrics = Metrics()
    for route, status in (("resolve", 200), ("resolve", 503), ("alive", 200), ("ready", 200)):
        metrics.answered(route, status, 0.1)
    metrics.store_error(StoreUnreachable(url="s3://b", why="lost"))
    metrics.sign_in("accepted")
    return generate_latest(metrics.registry).decode()


def _drift() -> str:
    registry = CollectorRegistry()
    for name, text in METRICS.items():
        Gauge(name, text, registry=registry)
    return generate_latest(registry).decode()
