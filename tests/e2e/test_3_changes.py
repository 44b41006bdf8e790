"""Two revisions side by side, weights, rollbacks, upgrades and failures while requests run."""

import dataclasses
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_helm_charts.clusters import Cluster
from pytest_helm_charts.k8s.deployment import wait_for_deployments_to_run
from pytest_helm_charts.k8s.stateful_set import wait_for_stateful_sets_to_run

from tests.e2e.conftest import DEV, FIGURES, RELEASE, Project, gateway, sign_in
from tests.e2e.kube import Kube, until
from tests.e2e.test_2_models import CHAT, pack_and_sideload
from tests.e2e.traffic import Traffic
from waybill.deliver import pins
from waybill.deliver.pins import Pin, Pins, Slot

PATIENT = 20
"""Retries, two minutes in all, of what asks a component of one replica that was killed."""


def traffic(kube: Kube, *, pause: float = 0.25) -> Traffic:
    door = gateway(kube, DEV)
    return Traffic(door.asking("chat", "verify everywhere"), pause=pause)


def own_traffic(kube: Kube, component: str) -> Traffic | nullcontext[None]:
    """What the killed component itself is asked, beside the requests to models."""
    if component == "gateway":
        return nullcontext()
    if component == "keycloak":
        return Traffic(sign_in(kube, DEV), retries=PATIENT)
    return Traffic({"method": "GET", **signed_refs(kube)}, retries=PATIENT)


def signed_refs(kube: Kube) -> dict[str, Any]:
    """A question that the hub has to ask MinIO for."""
    hub = f"http://{kube.address(DEV, f'{RELEASE}-model-hub')}:8080"
    headers = {"authorization": f"Bearer {gateway(kube, DEV).token}"}
    return {"url": f"{hub}/api/models/{CHAT}/refs", "headers": headers}


def pinned(project: Project) -> Pin:
    return pins.load(project.folder / "values/pins/dev.yaml").models["chat"]


def earlier(project: Project) -> str:
    """The commit that dev had before the present one."""
    records = project.waybill("history", "chat", "--env", "dev")["environments"]["dev"]
    now = pinned(project).stable.commit
    return next(str(each["commit"]) for each in records if each["commit"] != now)


def weigh(project: Project, **weights: int) -> None:
    """Give the two pinned revisions their shares, as a change of the pins file."""

    def change(old: Pins) -> Pins:
        pin = old.models["chat"]
        slots = {name: Slot(pin.traffic[name].commit, weight) for name, weight in weights.items()}
        return Pins({**old.models, "chat": dataclasses.replace(pin, traffic=slots)})

    assert pins.update(project.folder / "values/pins/dev.yaml", change)


@pytest.mark.timeout(900)
def test_a_new_pin_takes_over_when_its_engine_is_up_and_no_request_is_lost(
    project: Project, kube: Kube, chat_models: list[Path], tmp_path: Path
) -> None:
    first = pinned(project).stable.commit
    second = pack_and_sideload(project, chat_models[1], CHAT, tmp_path)
    project.waybill("pin", "dev", "chat", f"{CHAT}@{second}")
    with traffic(kube) as running:
        project.install("dev", "--timeout", "600")
        until("the new one answers alone", lambda: alone(running, second), 60)
        assert running.all == {first, second}
    assert running.lost == [] and running.retried == 0
    FIGURES["requests lost while a new revision took over"] = f"0 of {running}"


@pytest.mark.timeout(300)
def test_a_share_moves_and_back_without_losing_a_request(project: Project, kube: Kube) -> None:
    pin = pinned(project)
    with traffic(kube, pause=0.1) as running:
        weigh(project, stable=50, previous=50)
        project.install("dev", "--timeout", "120")
        until("both revisions answer", lambda: len(running.answers) == 2, 30)
        running.answers.clear()
        running.at_least(200)
        share = running.answers[pin.stable.commit] / running.answers.total()
        assert 0.35 < share < 0.65  # 4 standard deviations of 200 draws
        weigh(project, stable=100, previous=0)
        project.install("dev", "--timeout", "120")
        until("stable answers alone", lambda: alone(running, pin.stable.commit), 30)
    assert running.lost == [] and running.retried == 0
    FIGURES["requests lost while weights moved"] = f"0 of {running}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("component", ["gateway", "model-hub", "keycloak", "minio"])
def test_a_pod_is_killed_and_no_request_is_lost(
    project: Project, kube: Kube, kube_cluster: Cluster, component: str
) -> None:
    weigh_if_needed(project)
    with traffic(kube) as running, own_traffic(kube, component) as own:
        running.at_least(10)
        kube.kill(DEV, component)
        running.at_least(40)
        whole = wait_for_stateful_sets_to_run
        if component in ("gateway", "model-hub"):
            whole = wait_for_deployments_to_run
        whole(kube_cluster.kube_client, [f"{RELEASE}-{component}"], DEV, 400)
    for each in filter(None, (running, own)):
        assert each.lost == []
    FIGURES[f"requests lost when {component} was killed"] = f"0 of {running}, of its own 0 of {own}"


def weigh_if_needed(project: Project) -> None:
    if pinned(project).traffic["stable"].weight != 50:
        weigh(project, stable=50, previous=50)
        project.install("dev", "--timeout", "120")


@pytest.mark.timeout(300)
def test_an_engine_that_dies_leaves_its_share_to_the_stable_one(
    project: Project, kube: Kube, kube_cluster: Cluster
) -> None:
    pin = pinned(project)
    weak = f"vllm-chat-{pin.traffic['previous'].commit[:8]}"
    with traffic(kube) as running:
        running.at_least(10)
        kube.kill(DEV, weak)
        until("stable answers alone", lambda: alone(running, pin.stable.commit), 60)
        wait_for_deployments_to_run(kube_cluster.kube_client, [f"{RELEASE}-{weak}"], DEV, 240)
        until("both answer again", lambda: len(running.answers) == 2, 60)
    assert running.lost == []
    FIGURES["requests lost when an engine died"] = f"0 of {running}"


@pytest.mark.timeout(300)
def test_without_minio_the_hub_says_so_and_engines_go_on(kube: Kube) -> None:
    asked = signed_refs(kube)
    with httpx.Client(trust_env=False, timeout=60) as client, traffic(kube) as running:
        # MinIO was killed a moment ago, and what was connected to it may have to notice.
        until("the hub answers", lambda: client.get(**asked).status_code == 200, 60)
        kube.scale(DEV, "stateful_set", f"{RELEASE}-minio", 0)
        try:
            until("the hub says so", lambda: client.get(**asked).status_code == 503, 60)
            assert "cannot be reached" in client.get(**asked).text
            running.at_least(20)
        finally:
            kube.scale(DEV, "stateful_set", f"{RELEASE}-minio", 1)
        until("the hub answers again", lambda: client.get(**asked).status_code == 200, 120)
    assert running.lost == []
    FIGURES["requests lost without MinIO"] = f"0 of {running}"


@pytest.mark.timeout(300)
def test_a_rollback_of_the_model_loses_no_request(project: Project, kube: Kube) -> None:
    weigh(project, stable=100, previous=0)
    project.install("dev", "--timeout", "300")
    old = pinned(project).traffic["previous"].commit
    with traffic(kube) as running:
        started = time.monotonic()
        project.waybill("rollback", "dev", "chat")
        project.install("dev", "--timeout", "300")
        until("the old one answers alone", lambda: alone(running, old), 60)
        FIGURES["rollback of a model"] = f"{time.monotonic() - started:.1f} s"
        running.at_least(10)
    assert running.lost == [] and running.retried == 0


def alone(running: Traffic, commit: str) -> bool:
    """True when nobody else answers for a second."""
    running.answers.clear()
    time.sleep(1)
    return set(running.answers) == {commit}
