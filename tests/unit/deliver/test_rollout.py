"""What the API says of workloads and pods, in the shapes that a Kubernetes 1.36 gives."""

from typing import Any

import pytest

from waybill.deliver import rollout


def deployment(wanted: int = 2, **status: int) -> dict[str, Any]:
    status = {"observedGeneration": 3, "replicas": wanted, **status}
    return {
        "kind": "Deployment",
        "metadata": {"name": "w-gateway", "generation": 3, "uid": "d"},
        "spec": {"replicas": wanted},
        "status": status,
    }


def job(**condition: str) -> dict[str, Any]:
    conditions = [{"status": "True", **condition}] if condition else []
    metadata = {"name": "w-realm-1", "uid": "j"}
    return {"kind": "Job", "metadata": metadata, "status": {"conditions": conditions}}


def pod(*containers: dict[str, Any], ready: bool = False, phase: str = "Running") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": list(containers)}
    return {"metadata": {"name": "w-gateway-abc", "uid": "p"}, "status": status}


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


def test_what_hooks_leave_behind_is_no_part_of_the_release() -> None:
    stays, hook, test, of_hook = job(), job(), pod(), pod()
    for each in (hook, test):
        each["metadata"] |= {"uid": "h", "annotations": {"helm.sh/hook": "pre-upgrade"}}
    of_hook["metadata"]["ownerReferences"] = [{"kind": "Job", "uid": "h"}]
    of_job = pod()
    of_job["metadata"]["ownerReferences"] = [{"kind": "Job", "uid": "j"}]
    found = rollout.without_hooks([stays, hook], [test, of_hook, of_job, pod()])
    assert found == ([stays], [of_job, pod()])


def test_a_failed_job_leaves_no_hope() -> None:
    failed = job(type="Failed", message="Job has reached the specified backoff limit")
    (found,) = rollout.troubles([failed], [])
    assert "Job w-realm-1 failed: Job has reached" in found.why and not found.final


def test_pods_that_are_refused_leave_no_hope() -> None:
    refused = deployment()
    message = 'pods "w-gateway-abc" is forbidden: violates PodSecurity "restricted:latest"'
    refused["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    ]
    (found,) = rollout.troubles([refused], [])
    assert found.why == f"Deployment w-gateway gets no pods: {message}"


@pytest.mark.parametrize(
    ("restarts", "reason", "expected"),
    [
        (0, "ContainerCreating", []),
        (1, "CrashLoopBackOff", []),
        (3, "CrashLoopBackOff", [False]),
        (0, "ImagePullBackOff", [False]),
        (0, "ErrImageNeverPull", [True]),
        (0, "InvalidImageName", [True]),
    ],
)
def test_hope_ends_where_waiting_is_no_use(
    restarts: int, reason: str, expected: list[bool]
) -> None:
    stuck = pod(container(restarts, waiting={"reason": reason, "message": "as it says"}))
    assert [each.final for each in rollout.troubles([], [stuck])] == expected
    stuck["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert list(rollout.troubles([], [stuck])) == [], "it goes, and another takes its place"


def test_the_scheduler_says_why_a_pod_has_no_node() -> None:
    waiting = pod(phase="Pending")
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    waiting["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ]
    assert rollout.unplaced([waiting, pod()]) == [f"w-gateway-abc: {message}"]


def test_what_is_told_of_a_pod_names_events_state_and_log() -> None:
    broken = pod(container(4, waiting={"reason": "CrashLoopBackOff"}))
    events = [{"reason": "BackOff", "message": "back-off restarting failed container"}]
    told = "\n".join(rollout.told(broken, events, lambda _: "starting\nended"))
    assert "CrashLoopBackOff" in told and "back-off restarting" in told and "4 restarts" in told
    assert "    starting\n    ended" in told


def test_containers_that_ended_well_need_no_words() -> None:
    done = container(terminated={"exitCode": 0, "reason": "Completed"})
    assert rollout.told(pod(done), [], lambda _: "noise") == ["pod w-gateway-abc: Running"]


def test_pods_that_serve_or_have_done_their_work_are_not_named() -> None:
    broken = pod()
    assert rollout.not_ready([pod(ready=True), pod(phase="Succeeded"), broken]) == [broken]
