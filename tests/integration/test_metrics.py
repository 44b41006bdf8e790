"""The names that dashboard and alerts ask for are those of the pinned servers."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.services import minio_server, needs
from waybill.generate import dashboard

COUNTED_AFTER_THE_FIRST = {"minio_s3_requests_5xx_errors_total"}
"""MinIO shows it once it has happened."""


def asked(prefix: str) -> set[str]:
    """Every metric with this prefix in a query."""
    groups = yaml.safe_load(Path("charts/waybill/alerts.yaml").read_text())["groups"]
    texts = dashboard.expressions() + [rule["expr"] for group in groups for rule in group["rules"]]
    found = {name for text in texts for name in re.findall(r"([\w:]+)\{", text)}
    return {name for name in found if name.startswith(prefix)}


def sources() -> Iterator[str]:
    """What vLLM's own code says, beside the interpreter that it is installed for."""
    prefix = Path(needs("WAYBILL_TEST_VLLM")).parents[1]
    for path in prefix.glob("lib/python*/site-packages/vllm/v1/metrics/*.py"):
        yield path.read_text()


def test_vllm_has_the_metrics() -> None:
    known = set(re.findall(r'"(vllm:\w+)"', "".join(sources())))
    # A counter's name gains `_total` on its way out, a histogram's `_bucket`.
    names = {re.sub(r"_(total|bucket)$", "", name) for name in asked("vllm:")}
    assert names
    assert names <= known


def test_minio_has_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the chart sets it.
    monkeypatch.setenv("MINIO_PROMETHEUS_AUTH_TYPE", "public")
    with minio_server(needs("WAYBILL_TEST_MINIO"), tmp_path) as server:
        text = httpx.get(f"{server.endpoint}/minio/v2/metrics/cluster", trust_env=False).text
    known = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert asked("minio_") - COUNTED_AFTER_THE_FIRST <= known
