"""`drift` as the chart's CronJob calls it, on a cluster that a function stands for."""

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services import free_port
from tests.unit.cli.conftest import Waybill
from waybill.cli.drift import METRICS
from waybill.deliver.cluster import Cluster
from waybill.errors import ClusterForbidden

EXPECTED = "kind: Deployment\nmetadata: {name: w-hub}\nspec: {replicas: 2}\n"
INSIDE = ("--namespace", "ns", "--release", "w")


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def listed(*_: object) -> list[dict[str, Any]]:
        name = {"name": "w-hub"}
        return [{"kind": "Deployment", "metadata": name, "spec": {"replicas": 1}}]

    monkeypatch.setattr(Cluster, "listed", listed)
    path = tmp_path / "expected.yaml"
    path.write_text(EXPECTED)
    return path


def test_it_says_what_differs_and_what_to_do(waybill: Waybill, expected: Path) -> None:
    ran = waybill("drift", "--expected", expected, *INSIDE)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "release and cluster: Deployment w-hub: spec.replicas: 2 expected, 1 found",
        "  waybill install puts it back; to keep it, write it into the values",
        "1 difference",
    ]


def test_the_exit_code_tells_pipelines(waybill: Waybill, expected: Path) -> None:
    ran = waybill("drift", "--expected", expected, *INSIDE, "--detailed-exitcode", "--json")
    assert ran.code == 5
    expected.write_text(EXPECTED.replace("2", "1"))
    ran = waybill("drift", "--expected", expected, *INSIDE, "--detailed-exitcode")
    assert (ran.code, ran.out) == (0, "no difference\n")


@pytest.mark.parametrize("changed", [False, True])
def test_what_could_not_be_looked_at_is_no_good_answer(
    waybill: Waybill, expected: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    def forbidden(_: object, kind: str, *__: object) -> list[dict[str, Any]]:
        if kind == "services":
            raise ClusterForbidden(where="ns", what="list services", why="no right")
        spec = {"replicas": 1 if changed else 2}
        return [{"kind": "Deployment", "metadata": {"name": "w-hub"}, "spec": spec}]

    expected.write_text(f"{EXPECTED}---\nkind: Service\nmetadata: {{name: w}}\n")
    monkeypatch.setattr(Cluster, "listed", forbidden)
    codes = [
        waybill("drift", "--expected", expected, *INSIDE, *flags).code
        for flags in ((), ("--detailed-exitcode",))
    ]
    assert codes == [1, 5 if changed else 1]
    ran = waybill("drift", "--expected", expected, *INSIDE, "--quiet")
    assert ran.out.splitlines()[-1] == (
        "1 difference in what could be looked at"
        if changed
        else "no difference in what could be looked at"
    )


def test_prometheus_finds_the_result_while_it_stays(waybill: Waybill, expected: Path) -> None:
    port, pages = free_port(), list[str]()

    def scrape() -> None:
        for _ in range(100):
            try:
                pages.append(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text)
                return
            except httpx.TransportError:
                time.sleep(0.05)

    prometheus = threading.Thread(target=scrape)
    prometheus.start()
    stay = ("--metrics-port", port, "--metrics-seconds", 2, "--detailed-exitcode")
    ran = waybill("drift", "--expected", expected, *INSIDE, *stay)
    prometheus.join()
    assert ran.code == 5
    assert "waybill_drift_findings 1.0" in pages[0]
    assert all(f"{name} " in pages[0] for name in METRICS)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name an environment: waybill drift ENV"),
        (("--expected", "x"), 2, "it goes with --namespace and --release, and with no environment"),
        (("--expected", "gone.yaml", *INSIDE), 1, "gone.yaml"),
    ],
)
def test_what_is_missing_is_named(waybill: Waybill, arguments: Any, code: int, said: str) -> None:
    ran = waybill("drift", *arguments)
    assert ran.code == code
    assert said in ran.err
