"""How a revision did between two looks at the metrics of gateway and engines.

The gateway counts answers by slot (`chat/stable`), the engines how long first tokens took.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""A pod, and what of it was counted: `requests`, `errors`, or the upper end of a bucket; `unknown`
says that nobody could ask it."""
Look: TypeAlias = Mapping[Key, float]
"""Counters of all pods, as they stood at one time."""

_ANSWERS = "envoy_cluster_upstream_rq_xx"
_REPEATED = "envoy_cluster_upstream_rq_retry_success"
_STARTED = "vllm:time_to_first_token_seconds_bucket"
_COUNTS = ("requests", "errors")
_UNKNOWN = "unknown"
QUANTILES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True)
class Seen:
    """What happened between two looks; `ttft` are seconds to the first token, by quantile."""

    requests: int = 0
    errors: int = 0
    ttft: Mapping[str, float] = field(default_factory=dict)


def of_gateway(pod: str, page: str, slot: str) -> dict[Key, float]:
    """The slot's answers, and which of them were errors: a 5xx, or one that another slot mended."""
    found = {(pod, "requests"): 0.0, (pod, "errors"): 0.0}
    for name, labels, value in samples(page):
        if labels.get("envoy_cluster_name") != slot:
            continue
        if name == _ANSWERS:
            found[pod, "requests"] += value
        if name == _REPEATED or (name == _ANSWERS and labels["envoy_response_code_class"] == "5"):
            found[pod, "errors"] += value
    return found


def of_engine(pod: str, page: str) -> dict[Key, float]:
    """First tokens that took up to so many seconds, by that number."""
    found: Counter[Key] = Counter()
    for name, labels, value in samples(page):
        if name == _STARTED:
            found[pod, labels["le"]] += value  # type: ignore[assignment] # Prometheus has floats
    return dict(found)


def samples(page: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Name, labels and value of each series of a page, as Prometheus reads it."""
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            yield sample.name.removesuffix("_total"), sample.labels, sample.value


def unknown(pods: Iterable[str]) -> dict[Key, float]:
    return {(pod, _UNKNOWN): 1.0 for pod in pods}


def between(before: Look, after: Look) -> Seen:
    """A pod that has come or begun anew has counted from 0; what one that has gone saw is lost.

    So is what one counts of which nothing is known from before, though it was there.
    """
    grown: Counter[str] = Counter()
    for key, value in after.items():
        if key[1] == _UNKNOWN or (key[0], _UNKNOWN) in before:
            continue
        was = before.get(key, 0.0)
        grown[key[1]] += value - was if value >= was else value  # type: ignore[assignment]
    buckets = {float(end): count for end, count in grown.items() if end not in _COUNTS}
    ttft = {name: quantile(buckets, share) for name, share in QUANTILES.items()}
    return Seen(
        requests=round(grown["requests"]),
        errors=round(grown["errors"]),
        ttft=ttft if max(buckets.values(), default=0) else {},
    )


def quantile(buckets: Mapping[float, float], share: float) -> float:
    """Within its bucket by straight line, as Prometheus does; past the last, the last's end."""
    wanted = share * max(buckets.values(), default=0.0)
    below, under = 0.0, 0.0
    for end, count in sorted(buckets.items()):
        if count >= wanted and count > under:
            if math.isinf(end):
                return below
            return below + (end - below) * (wanted - under) / (count - under)
        below, under = end, count
    return below
