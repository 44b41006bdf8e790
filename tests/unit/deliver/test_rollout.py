"""What the API says of workloads and pods, in the shapes that a Kubernetes 1.36 gives."""

from typing import Any

import pytest

from waybill.deliver import rollout


def deployment(wanted: int = 2, **status: int) -> dict[str, Any]:
    status = {"observedGeneration": 3, "replicas": wanted, **status}
    return {
        "kind": "Deployment",
        "metadata": {"name": "w-gateway", "generation": 3},
        "spec": {"replicas": wanted},
        "status": status,
    }


def job(**condition: str) -> dict[str, Any]:
    conditions = [{"status": "True", **condition}] if condition else []
    return {"kind": "Job", "metadata": {"name": "w-realm-1"}, "status": {"conditions": conditions}}


def pod(*containers: dict[str, Any], ready: bool = False, phase: str = "Running") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": list(containers)}
    return {"metadata": {"name": "w-gateway-abc"}, "status": status}


def container(restarts: int = 0, ready: bool = False, **state: dict[str, Any]) -> dict[str, Any]:
    return {"name": "envoy", "ready": ready, "restartCount": restarts, "state": state}


def test_a_deployment_is_ready_when_all_its_new_pods_are() -> None:
    assert rollout.unready([deployment(availableReplicas=2, updatedReplicas=2)]) == []


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        pytest.param({}, 0, id="nothing yet"),
        pytest.param({"availableReplicas": 2, "updatedReplicas": 1}, 1, id="old pods serve"),
        pytest.param(
            {"availableReplicas": 2, "updatedReplicas": 2, "replicas": 3},
            2,
            id="an old pod is left",
        ),
        pytest.param(
            {"availableReplicas": 2, "updatedReplicas": 2, "observedGeneration": 2},
            2,
            id="not seen",
        ),
    ],
)
def test_a_deployment_that_lags_says_how_far(status: dict[str, int], ready: int) -> None:
    found = rollout.unready([deployment(**status)])
    assert found == [f"Deployment w-gateway has {ready} of 2 pods ready"]


def test_a_deployment_scaled_to_zero_is_ready() -> None:
    assert rollout.unready([deployment(0)]) == []


def test_a_job_is_ready_when_it_is_complete() -> None:
    assert rollout.unready([job(type="Complete")]) == []
    assert rollout.unready([job()]) == ["Job w-realm-1 has not finished"]


def test_a_failed_job_leaves_no_hope() -> None:
    failed = job(type="Failed", message="Job has reached the specified backoff limit")
    assert "backoff limit" in rollout.hopeless([failed], [])


@pytest.mark.parametrize(
    ("restarts", "reason", "hopeless"),
    [
        (0, "ContainerCreating", False),
        (1, "CrashLoopBackOff", False),
        (3, "CrashLoopBackOff", True),
        (0, "ErrImageNeverPull", True),
        (0, "ImagePullBackOff", True),
    ],
)
def test_hope_ends_where_waiting_is_no_use(restarts: int, reason: str, hopeless: bool) -> None:
    stuck = pod(container(restarts, waiting={"reason": reason, "message": "as it says"}))
    assert bool(rollout.hopeless([], [stuck])) is hopeless


def test_what_is_told_of_a_pod_names_events_state_and_log_without_secrets() -> None:
    broken = pod(container(4, waiting={"reason": "CrashLoopBackOff"}))
    events = [{"reason": "BackOff", "message": "back-off restarting failed container"}]
    log = "starting\npassword: hunter2 refused\nkey s3cr3t-value was wrong"
    told = "\n".join(rollout.told(broken, events, lambda _: log, {"s3cr3t-value"}))
    assert "CrashLoopBackOff" in told and "back-off restarting" in told and "4 restarts" in told
    assert "hunter2" not in told and "s3cr3t-value" not in told and "starting" in told


def test_containers_that_ended_well_need_no_words() -> None:
    done = container(terminated={"exitCode": 0, "reason": "Completed"})
    assert rollout.told(pod(done), [], lambda _: "noise") == ["pod w-gateway-abc: Running"]


def test_pods_that_serve_or_have_done_their_work_are_not_named() -> None:
    broken = pod()
    assert rollout.not_ready([pod(ready=True), pod(phase="Succeeded"), broken]) == [broken]
