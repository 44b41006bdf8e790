"""From the last released chart to this one and back, while requests run."""

import dataclasses
import subprocess
from datetime import UTC, datetime

import pytest

from tests.e2e.conftest import DEV, FIGURES, RELEASE, RELEASED, Project, gateway
from tests.e2e.kube import Kube, until
from tests.e2e.test_3_changes import traffic
from waybill.deliver import pins
from waybill.deliver.helm import overlay
from waybill.deliver.pins import Pin, Pins, Slot

WORST = {
    "gateway": {"limits": {"requestBytes": 1048576}},
    **{
        name: {"podAnnotations": {"example.com/restarted": "with all the others"}}
        for name in ("keycloak", "minio", "modelHub", "vllm")
    },
}
"""Values that restart everything at once: no upgrade does more to requests."""


NEWER = {"import"}
"""Keys of the tests' values that the released chart does not know."""


@pytest.mark.timeout(900)
def test_an_upgrade_from_the_last_release_and_a_helm_rollback_lose_no_request(
    project: Project, kube: Kube
) -> None:
    drop_previous(project)
    known = {key: value for key, value in project.values.items() if key not in NEWER}
    older = dataclasses.replace(project, values=known)
    older.install("dev", "--timeout", "600", chart=RELEASED)
    begun = datetime.now(UTC).replace(microsecond=0)
    with traffic(kube) as running:
        changed = overlay(project.values, WORST)
        done = dataclasses.replace(project, values=changed).install("dev", "--timeout", "600")
        restarted = {each["name"] for each in done["changes"]}
        assert {f"{RELEASE}-{name}" for name in ("gateway", "keycloak", "model-hub")} <= restarted
        assert too_large(kube)
        running.at_least(10)
        helm_rollback(project)
        until("the old limit is back", lambda: not too_large(kube), 30)
        running.at_least(10)
    assert running.lost == []
    assert undrained(kube, begun) == [], "gateways finish their streams first"
    FIGURES["requests lost in upgrade and rollback"] = f"0 of {running}"


def undrained(kube: Kube, since: datetime) -> list[str]:
    """The pods whose hooks before their end have failed; one that is killed has no time for its."""
    found = kube.core.list_namespaced_event(DEV, field_selector="reason=FailedPreStopHook").items
    return [each.involved_object.name for each in found if each.last_timestamp >= since]


def drop_previous(project: Project) -> None:
    """Two engines are as many as this node holds."""

    def change(old: Pins) -> Pins:
        stable = old.models["chat"].stable
        pin = Pin({stable.commit: stable}, {"stable": Slot(stable.commit, 100)})
        return Pins({**old.models, "chat": pin})

    pins.update(project.folder / "values/pins/dev.yaml", change)


def too_large(kube: Kube) -> bool:
    """Whether the gateway takes no prompt of 2 MB."""
    return gateway(kube, DEV).chat("chat", "x" * 2_000_000).status_code == 413


def helm_rollback(project: Project) -> None:
    command = [project.env["WAYBILL_HELM"], "rollback", RELEASE, "--namespace", DEV]
    command += ["--wait", "--timeout", "300s"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
