"""The names and labels that dashboard and alerts ask for are those of the pinned servers."""

import re
from pathlib import Path

import httpx
import pytest
import yaml

from tests.chart.prometheus import PAGES, series_of
from tests.services import minio_server, needs, vllm
from waybill.generate import dashboard

COUNTED_AFTER_THE_FIRST = {"minio_s3_requests_5xx_errors_total"}
"""MinIO shows it once it has happened."""


def asked(prefix: str) -> set[str]:
    """Every metric with this prefix in a query."""
    groups = yaml.safe_load(Path("charts/waybill/alerts.yaml").read_text())["groups"]
    texts = dashboard.expressions() + [rule["expr"] for group in groups for rule in group["rules"]]
    found = {name for text in texts for name in re.findall(r"([\w:]+)\{", text)}
    return {name for name in found if name.startswith(prefix)}


def shapes(page: str) -> dict[str, set[frozenset[str]]]:
    """The names of labels that the series of each metric have."""
    found: dict[str, set[frozenset[str]]] = {}
    for name, labels in series_of(page):
        found.setdefault(name, set()).add(frozenset(labels))
    return found


def compare(component: str, prefix: str, page: str) -> None:
    """What tests of the alerts take for this server's page is one, and has all that is asked."""
    kept, shown = shapes((PAGES / f"{component}.prom").read_text()), shapes(page)
    assert asked(prefix)
    assert asked(prefix) - COUNTED_AFTER_THE_FIRST <= kept.keys()
    assert kept == {name: shown.get(name) for name in kept}


@pytest.mark.timeout(300)
def test_vllm_has_the_metrics(minilm: Path, tmp_path: Path) -> None:
    with vllm(str(minilm), tmp_path, "--runner", "pooling") as engine:
        compare("vllm", "vllm:", httpx.get(f"{engine.url}/metrics", trust_env=False).text)


def test_minio_has_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the chart sets it.
    monkeypatch.setenv("MINIO_PROMETHEUS_AUTH_TYPE", "public")
    with minio_server(needs("WAYBILL_TEST_MINIO"), tmp_path) as server:
        page = f"{server.endpoint}/minio/v2/metrics/cluster"
        compare("minio", "minio_", httpx.get(page, trust_env=False).text)
