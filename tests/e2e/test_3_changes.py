"""Two revisions side by side, weights, rollbacks, upgrades and failures while requests run."""

import dataclasses
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import DEV, FIGURES, RELEASE, RELEASED, Project, gateway
from tests.e2e.kube import Kube, until
from tests.e2e.test_2_models import CHAT, pack_and_sideload
from tests.e2e.traffic import Traffic
from waybill.deliver import pins
from waybill.deliver.pins import Pin, Pins, Slot

BODY = {
    "model": "chat",
    "messages": [{"role": "user", "content": "verify everywhere"}],
    "max_tokens": 4,
}


def traffic(kube: Kube) -> Traffic:
    door = gateway(kube, DEV)
    return Traffic(f"{door.url}/v1/chat/completions", door.token, BODY)


def pinned(project: Project) -> Pin:
    return pins.load(project.folder / "values/pins/dev.yaml").models["chat"]


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
    FIGURES["requests lost while a new revision took over"] = f"0 of {running.sent}"


@pytest.mark.timeout(300)
def test_a_share_moves_and_back_without_losing_a_request(project: Project, kube: Kube) -> None:
    pin = pinned(project)
    with traffic(kube) as running:
        weigh(project, stable=50, previous=50)
        project.install("dev", "--timeout", "120")
        until("both revisions answer", lambda: len(running.answers) == 2, 30)
        running.at_least(100)
        weigh(project, stable=100, previous=0)
        project.install("dev", "--timeout", "120")
        until("stable answers alone", lambda: alone(running, pin.stable.commit), 30)
    assert running.lost == [] and running.retried == 0
    FIGURES["requests lost while weights moved"] = f"0 of {running.sent}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("component", ["gateway", "model-hub", "keycloak", "minio"])
def test_a_pod_is_killed_and_no_request_is_lost(
    project: Project, kube: Kube, component: str
) -> None:
    weigh_if_needed(project)
    with traffic(kube) as running:
        running.at_least(10)
        kube.kill(DEV, component)
        running.at_least(60)
        until(f"{component} is back", lambda: ready(kube, component), 400)
    assert running.lost == []
    FIGURES[f"requests lost when {component} was killed"] = (
        f"0 of {running.sent}, {running.retried} retried"
    )


def weigh_if_needed(project: Project) -> None:
    if pinned(project).traffic["stable"].weight != 50:
        weigh(project, stable=50, previous=50)
        project.install("dev", "--timeout", "120")


def ready(kube: Kube, component: str) -> bool:
    pods = kube.pods(DEV, component)
    return bool(pods) and all(
        any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())
        for pod in pods
    )


@pytest.mark.timeout(300)
def test_an_engine_that_dies_leaves_its_share_to_the_stable_one(
    project: Project, kube: Kube
) -> None:
    pin = pinned(project)
    weak = pin.traffic["previous"].commit
    with traffic(kube) as running:
        running.at_least(10)
        kube.kill(DEV, f"vllm-chat-{weak[:8]}")
        until("stable answers alone", lambda: alone(running, pin.stable.commit), 60)
        until("its engine is back", lambda: ready(kube, f"vllm-chat-{weak[:8]}"), 240)
        until("both answer again", lambda: len(running.answers) == 2, 60)
    assert running.lost == []


@pytest.mark.timeout(300)
def test_without_minio_the_hub_says_so_and_engines_go_on(kube: Kube) -> None:
    door = gateway(kube, DEV)
    hub = f"http://{kube.address(DEV, f'{RELEASE}-model-hub')}:8080"
    refs, signed = f"{hub}/api/models/{CHAT}/refs", {"authorization": f"Bearer {door.token}"}
    assert httpx.get(refs, headers=signed).status_code == 200
    with traffic(kube) as running:
        kube.scale(DEV, "stateful_set", f"{RELEASE}-minio", 0)
        until("MinIO has gone", lambda: kube.gone(DEV, "minio"), 60)
        said = httpx.get(refs, headers=signed, timeout=60)
        assert said.status_code == 503 and "cannot be reached" in said.text, said.text
        running.at_least(20)
        kube.scale(DEV, "stateful_set", f"{RELEASE}-minio", 1)
        until("the hub answers again", lambda: up(refs, signed), 120)
    assert running.lost == []


def up(url: str, headers: dict[str, str]) -> bool:
    try:
        return httpx.get(url, headers=headers, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.timeout(900)
def test_an_upgrade_from_the_last_release_and_a_helm_rollback_lose_no_request(
    project: Project, kube: Kube
) -> None:
    weigh(project, stable=100, previous=0)
    with traffic(kube) as running:
        project.install("dev", "--timeout", "600", chart=RELEASED)
        # A limit is a change that restarts the gateway: the worst that an upgrade does to requests.
        project.values["gateway"]["limits"]["requestBytes"] = 1048576
        project.install("dev", "--timeout", "600")
        running.at_least(10)
        helm_rollback(project)
        running.at_least(10)
    project.values["gateway"]["limits"].pop("requestBytes")
    assert running.lost == []
    FIGURES["requests lost in upgrade and rollback"] = (
        f"0 of {running.sent}, {running.retried} retried"
    )


def helm_rollback(project: Project) -> None:
    command = [project.env["WAYBILL_HELM"], "rollback", RELEASE, "--namespace", DEV]
    command += ["--wait", "--timeout", "300s"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
def test_a_rollback_of_the_model_loses_no_request(project: Project, kube: Kube) -> None:
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
