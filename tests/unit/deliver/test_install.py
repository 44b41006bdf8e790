"""An installation on a cluster of our own making, behind our own interface: e2e has a real one."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.clock import Time
from waybill.deliver import install, watch
from waybill.deliver.helm import Helm, Installed
from waybill.deliver.install import Plan
from waybill.deliver.rollout import Object
from waybill.deliver.watch import Watch
from waybill.errors import (
    BadFile,
    ClusterForbidden,
    ClusterUnreachable,
    HelmFailed,
    RolloutFailed,
    WaybillError,
)

SECRET = "line-one-of-a-key\nline-two-of-a-key\n"
FORBIDDEN = ClusterForbidden(where="of the context x", what="do it", why="no right")
SILENT = ClusterUnreachable(where="of the context x", why="connection refused")


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(watch, "time", clock)
    return clock


@dataclass
class Cluster:
    """What is there is a function of the time; a method that is in `refused` raises that."""

    time: Time
    objects: Callable[[float], dict[str, Any]] = lambda _: {}
    refused: dict[str, WaybillError] = field(default_factory=dict)
    back: float = float("inf")
    annotated: list[str] = field(default_factory=list)

    def _may(self, what: str) -> None:
        if what in self.refused and self.time.now < self.back:
            raise self.refused[what]

    def listed(self, kind: str, selector: str = "") -> list[Object]:
        self._may(kind)
        found: list[Object] = self.objects(self.time.now).get(kind, [])
        return found if "component=gateway" not in selector else found[:1]

    def events(self, name: str) -> list[Object]:
        self._may("events")
        return [{"reason": "Failed", "message": f"{name} was told POSTGRES_PASSWORD=hunter2"}]

    def log(self, pod: str, container: str, lines: int) -> str:
        assert lines > 0
        self._may("log")
        return f"{pod}/{container}: line-two-of-a-key is wrong"

    def annotate(self, pod: str, key: str, value: str) -> None:
        self._may("annotate")
        self.annotated.append(f"{pod} {key}={value}")

    def lacks_namespace(self) -> bool:
        return False


def deployment(ready: int = 0, **conditions: str) -> dict[str, Any]:
    told = [{"type": key, "status": "True", "message": said} for key, said in conditions.items()]
    counts = {"replicas": 1, "updatedReplicas": ready, "availableReplicas": ready}
    return {
        "kind": "Deployment",
        "metadata": {"name": "w-gateway", "uid": "d"},
        "spec": {"replicas": 1},
        "status": {**counts, "conditions": told},
    }


def pod(reason: str = "", uid: str = "p", **scheduled: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": "no such image"}} if reason else {}
    container = {"name": "envoy", "ready": False, "restartCount": 5, "state": state}
    conditions = [{"type": "PodScheduled", "status": "False", **scheduled}] if scheduled else []
    return {
        "metadata": {"name": f"w-gateway-{uid}", "uid": uid},
        "status": {"containerStatuses": [container], "conditions": conditions},
    }


def hidden() -> Object:
    values = {"key": SECRET.encode(), "AWS_ACCESS_KEY_ID": b"w-gateway-p", "no-text": b"\xff\xfe"}
    encoded = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return {"metadata": {"name": "s"}, "data": encoded}


def waited(cluster: Cluster, seconds: float = 100) -> tuple[str, list[str]]:
    notes: list[str] = []
    return Watch(cluster, "x=y", notes.append).wait(seconds), notes


def test_it_waits_until_all_is_ready_and_says_for_what_once(time: Time) -> None:
    cluster = Cluster(time, lambda now: {"deployments": [deployment(int(now > 5))]})
    assert waited(cluster) == ("", ["waiting: Deployment w-gateway has 0 of 1 pods ready"])
    assert 5 < time.now < 10


def test_time_runs_out_with_the_scheduler_in_its_own_words(time: Time) -> None:
    lonely = pod(reason="", uid="p")
    lonely["status"]["conditions"] = [
        {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    ]
    cluster = Cluster(time, lambda _: {"deployments": [deployment()], "pods": [lonely]})
    why, notes = waited(cluster, 50)
    line = "Deployment w-gateway has 0 of 1 pods ready (w-gateway-p: 0/1 nodes are available)"
    assert why == f"{line} after 50 s" and notes == [f"waiting: {line}"]


@pytest.mark.parametrize(
    ("reason", "before", "least", "most"),
    [
        pytest.param("ImagePullBackOff", False, 30, 35, id="after the grace"),
        pytest.param("ErrImageNeverPull", False, 1, 5, id="at once"),
        pytest.param("ErrImageNeverPull", True, 30, 35, id="an old pod may be about to go"),
    ],
)
def test_what_is_hopeless_is_given_up(
    time: Time, reason: str, before: bool, least: float, most: float
) -> None:
    stuck = {"deployments": [deployment()], "pods": [pod(reason)]}
    cluster = Cluster(time, lambda now: stuck if before or now else {"deployments": [deployment()]})
    why, _ = waited(cluster)
    assert reason in why and least <= time.now <= most


def test_pods_that_are_refused_are_given_up_with_the_reason(time: Time) -> None:
    refused = deployment(ReplicaFailure='pods "x" is forbidden: violates PodSecurity "restricted"')
    why, _ = waited(Cluster(time, lambda _: {"deployments": [refused]}))
    assert "violates PodSecurity" in why and time.now < 35


@pytest.mark.parametrize(("back", "fails"), [(50, False), (float("inf"), True)])
def test_an_api_server_may_be_silent_for_a_minute(time: Time, back: float, fails: bool) -> None:
    cluster = Cluster(time, lambda _: {"deployments": [deployment(1)]}, back=back)
    watched = Watch(cluster, "x=y", lambda _: None)
    cluster.refused["pods"] = SILENT
    if fails:
        with pytest.raises(ClusterUnreachable):
            watched.wait(600)
        assert 60 < time.now < 65
    else:
        assert watched.wait(600) == ""


def test_while_helm_works_only_what_is_new_is_judged(time: Time) -> None:
    stuck = {"pods": [pod("ImagePullBackOff", "old")]}
    cluster = Cluster(time, lambda _: stuck)
    watched = Watch(cluster, "x=y", lambda _: None)
    stuck["pods"].append(pod("ImagePullBackOff", "hook"))
    assert watched.glance() == ""
    time.sleep(40)
    assert watched.glance() == "w-gateway-hook/envoy: ImagePullBackOff: no such image"
    cluster.refused["pods"] = SILENT
    assert watched.glance() == "", "helm will say so"


def explained(cluster: Cluster) -> str:
    notes: list[str] = []
    watch.explain(cluster, "x=y", notes.append)
    return "\n".join(notes)


def test_pods_and_workloads_are_explained(time: Time) -> None:
    told = explained(
        Cluster(time, lambda _: {"deployments": [deployment()], "pods": [pod("CrashLoopBackOff")]})
    )
    assert "Deployment w-gateway has 0 of 1" in told and "event Failed: w-gateway was" in told
    assert "CrashLoopBackOff" in told and "line-two-of-a-key is wrong" in told


def test_what_may_not_be_read_hides_nothing_else(time: Time) -> None:
    seen = {"deployments": [deployment()], "pods": [pod("CrashLoopBackOff", "1"), pod(uid="2")]}
    told = explained(Cluster(time, lambda _: seen, {"events": FORBIDDEN, "log": SILENT}))
    assert "w-gateway-1" in told and "w-gateway-2" in told
    assert "refuses to do it" in told and "no log: the cluster" in told
    assert "cannot be looked at" in explained(Cluster(time, refused={"pods": SILENT}))


def test_names_in_secrets_are_no_secrets(time: Time) -> None:
    cluster = Cluster(time, lambda _: {"secrets": [hidden()]})
    assert watch.secrets(cluster) == {"line-one-of-a-key", "line-two-of-a-key"}
    assert watch.secrets(Cluster(time, refused={"secrets": FORBIDDEN})) == set()


@dataclass(frozen=True)
class Upgrading:
    """A release whose upgrade takes some seconds, and then fails if told to."""

    time: Time
    seconds: int = 0
    error: HelmFailed | None = None
    release: str = "w"
    namespace: str = "ns"

    def upgrade(
        self, _seconds: int, *, create_namespace: bool, meanwhile: Callable[[], None]
    ) -> None:
        assert not create_namespace
        for _ in range(self.seconds):
            self.time.sleep(1)
            meanwhile()
        if self.error:
            raise self.error


def carried_out(helm: Upgrading, cluster: Cluster) -> list[str]:
    """The notes; those of a failure are in its `__notes__`."""
    notes: list[str] = []
    try:
        install.carry_out(Plan(cast(Helm, helm), 4, [], 100), cluster, notes.append)
    except WaybillError as error:
        error.__notes__ = notes
        raise
    return notes


def running(_: float) -> dict[str, Any]:
    return {"deployments": [deployment(1)], "pods": [pod()], "secrets": [hidden()]}


def test_the_gateways_pods_are_told_of_their_routes(time: Time) -> None:
    cluster = Cluster(time, running)
    assert carried_out(Upgrading(time), cluster) == []
    assert cluster.annotated == [f"w-gateway-p {install.REFRESHED}=5"]


def test_no_right_to_tell_them_fails_nothing(time: Time) -> None:
    cluster = Cluster(time, running, {"annotate": FORBIDDEN})
    (note,) = carried_out(Upgrading(time), cluster)
    assert "within a minute" in note


def test_a_failure_is_explained_without_secrets(time: Time) -> None:
    why = "job failed: Authorization: Bearer hunter2, line-one-of-a-key"
    failing = Upgrading(time, error=HelmFailed(what="upgrade", why=why))
    with pytest.raises(HelmFailed) as failed:
        carried_out(failing, Cluster(time, running))
    told = "\n".join([str(failed.value), *failed.value.__notes__])
    assert "w-gateway-p" in told and "(hidden)" in told
    assert "hunter2" not in told and "of-a-key" not in told


def test_a_hook_that_cannot_start_ends_helm(time: Time) -> None:
    hook = {"pods": [pod("ImagePullBackOff", "hook")]}
    cluster = Cluster(time, lambda now: hook if now else {})
    with pytest.raises(RolloutFailed, match="w-gateway-hook/envoy: ImagePullBackOff"):
        carried_out(Upgrading(time, 600), cluster)
    assert 30 < time.now < 40


def spec(deadline: int, replicas: int = 1, **rolling: int | str) -> Object:
    strategy = {"rollingUpdate": rolling} if rolling else {}
    spec = {"progressDeadlineSeconds": deadline, "replicas": replicas, "strategy": strategy}
    return {"kind": "Deployment", "spec": spec}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        pytest.param([], 660, id="none"),
        pytest.param([spec(900), spec(100)], 960, id="the slowest"),
        pytest.param([spec(900, 3, maxSurge=0, maxUnavailable=1)], 2760, id="one by one"),
        pytest.param([spec(900, 3, maxSurge=2, maxUnavailable=1)], 960, id="together"),
        pytest.param([spec(900, 2, maxSurge="25%")], 1860, id="in percent"),
        pytest.param([spec(900, 0, maxSurge=1)], 960, id="scaled to zero"),
    ],
)
def test_a_budget_has_time_for_each_step(given: list[Object], seconds: int) -> None:
    assert install.budget(given) == seconds


@dataclass(frozen=True)
class Release:
    """One that is installed, and what is rendered for it now."""

    was: list[Object]
    will: list[Object]
    unpinned: Path | None = None

    def template(self) -> list[Object]:
        return self.will

    def values(self) -> dict[str, Any]:
        return {}

    def installed(self) -> Installed:
        return Installed(7, self.was)


def test_a_lost_pins_file_ends_no_engine() -> None:
    labels = {"app.kubernetes.io/name": "vllm"}
    engine = {**spec(600), "metadata": {"name": "w-chat-1", "labels": labels}}
    release = Release([engine], [], Path("values/pins/dev.yaml"))
    with pytest.raises(BadFile, match=r"pins/dev\.yaml .* without its pins w-chat-1 would end"):
        install.plan(cast(Helm, release))
    assert install.plan(cast(Helm, replace(release, unpinned=None))).revision == 7
    assert install.plan(cast(Helm, replace(release, will=[engine]))).changes == []
