"""The dashboard for Grafana: rows of panels as data, and how they become its JSON.

`OURS` in a query stands for the labels that our PodMonitors give to every series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OURS = 'namespace="$namespace",release="$release"'
_WIDTH, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One graph: queries by legend. `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: Mapping[str, str]
    meaning: str


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{OURS{more}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le')})"


def _latency(metric: str, by: str = "model_name") -> dict[str, str]:
    return {
        f"p50 {{{{{by}}}}}": _quantile(0.5, metric, by),
        f"p95 {{{{{by}}}}}": _quantile(0.95, metric, by),
    }


_ENGINES = 'component=~"vllm-.*"'
ROWS: Mapping[str, Sequence[Panel]] = {
    "What clients see": (
        Panel(
            "Tokens per second",
            "short",
            {
                "out {{model_name}}": _rate("vllm:generation_tokens_total", "model_name"),
                "in {{model_name}}": _rate("vllm:prompt_tokens_total", "model_name"),
            },
            "Tokens generated and tokens read, by served model.",
        ),
        Panel(
            "Time to first token",
            "s",
            _latency("vllm:time_to_first_token_seconds"),
            "From the engine's taking of a request to its first token, queue included.",
        ),
        Panel(
            "Time between tokens",
            "s",
            _latency("vllm:inter_token_latency_seconds"),
            "How fast an answer streams. It grows with the number of requests in one batch.",
        ),
        Panel(
            "Answers by status",
            "reqps",
            {
                "{{envoy_cluster_name}} {{envoy_response_code_class}}xx": _rate(
                    "envoy_cluster_upstream_rq_xx", "envoy_cluster_name, envoy_response_code_class"
                )
            },
            "What engines answered, by revision: a canary shows its errors here first.",
        ),
        Panel(
            "Refused at the gateway",
            "reqps",
            {
                "without a valid token": (
                    "sum(rate(envoy_http_jwt_authn_denied{OURS}[$__rate_interval]))"
                ),
                "over a tenant's limit": (
                    "sum(rate(envoy_http_local_rate_limit_rate_limited{OURS}[$__rate_interval]))"
                ),
            },
            "Requests that no engine got to see.",
        ),
    ),
    "Engines": (
        Panel(
            "Requests",
            "short",
            {
                "waiting {{component}}": "sum by (component) (vllm:num_requests_waiting{OURS})",
                "running {{component}}": "sum by (component) (vllm:num_requests_running{OURS})",
            },
            "The queue of each revision. Waiting requests mean more replicas or a larger batch.",
        ),
        Panel(
            "KV cache in use",
            "percentunit",
            {"{{pod}}": "max by (pod) (vllm:kv_cache_usage_perc{OURS})"},
            "At 100 % an engine sets requests back, and they start again.",
        ),
        Panel(
            "Preemptions and rejections",
            "ops",
            {
                "preempted {{component}}": _rate("vllm:num_preemptions_total", "component"),
                "rejected {{component}}": _rate("vllm:admission_rejections_total", "component"),
            },
            "Requests set back for want of KV cache, and requests that were not let in.",
        ),
        Panel(
            "Prefix cache hits",
            "percentunit",
            {
                "{{component}}": _rate("vllm:prefix_cache_hits_total", "component")
                + " / "
                + _rate("vllm:prefix_cache_queries_total", "component")
            },
            "The share of prompt tokens that were not computed again.",
        ),
        Panel(
            "Cold starts",
            "short",
            {
                "{{component}}": "count by (component) "
                f"(time() - process_start_time_seconds{{OURS,{_ENGINES}}} < 3600)"
            },
            "Engines started in the last hour, by revision.",
        ),
        Panel(
            "Engines that answer",
            "short",
            {
                "{{envoy_cluster_name}}": "min by (envoy_cluster_name) "
                '(envoy_cluster_membership_healthy{OURS,envoy_cluster_name=~".+@.+"})'
            },
            "Healthy engines of each revision, as the gateway sees them.",
        ),
    ),
    "Hub and store": (
        Panel(
            "Requests to the hub",
            "reqps",
            {"{{route}} {{status}}": _rate("waybill_hub_requests_total", "route, status")},
            "What engines and people ask the hub for.",
        ),
        Panel(
            "Time in the hub",
            "s",
            _latency("waybill_hub_request_duration_seconds", "route"),
            "To the last byte, so that files through the hub take as long as they are large.",
        ),
        Panel(
            "Bytes",
            "Bps",
            {
                "hub": "sum(rate(waybill_hub_bytes_total{OURS}[$__rate_interval]))",
                "store": "sum(rate(minio_s3_traffic_sent_bytes{OURS}[$__rate_interval]))",
            },
            "Weights on their way, from the hub itself and from the object store.",
        ),
        Panel(
            "Failures",
            "ops",
            {
                "hub to store": "sum(rate(waybill_hub_store_errors_total{OURS}[$__rate_interval]))",
                "store": "sum(rate(minio_s3_requests_5xx_errors_total{OURS}[$__rate_interval]))",
            },
            "What failed between hub and store. Running engines do not notice; starting ones do.",
        ),
        Panel(
            "Tokens at the hub",
            "reqps",
            {"{{outcome}}": _rate("waybill_hub_auth_total", "outcome")},
            "How the hub judged the tokens that it was shown.",
        ),
        Panel(
            "Room in the store",
            "bytes",
            {
                "free": "min(minio_cluster_capacity_usable_free_bytes{OURS})",
                "in all": "max(minio_cluster_capacity_usable_total_bytes{OURS})",
            },
            "Room in the embedded MinIO.",
        ),
    ),
}


def board() -> dict[str, Any]:
    """The dashboard, as Grafana imports it."""
    return {
        "uid": "waybill",
        "title": "Waybill",
        "tags": ["waybill"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def expressions() -> list[str]:
    """Every query, as it is in the dashboard."""
    return [query for row in ROWS.values() for panel in row for query in panel.queries.values()]


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus"}
    for name, among in (("namespace", 'release!=""'), ("release", 'namespace="$namespace"')):
        query = f"label_values(up{{{among}}}, {name})"
        yield {
            "name": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
        }


def _panels() -> Iterator[dict[str, Any]]:
    top = 0
    for title, panels in ROWS.items():
        yield {"type": "row", "title": title, "gridPos": _at(0, top, _WIDTH, 1), "panels": []}
        top += 1
        width = _WIDTH // 3
        for number, panel in enumerate(panels):
            left, line = number % 3 * width, number // 3
            yield _panel(panel, _at(left, top + line * _HEIGHT, width, _HEIGHT))
        top += -(-len(panels) // 3) * _HEIGHT


def _at(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query.replace("OURS", _OURS),
                "legendFormat": legend,
            }
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }
