"""A Job that is begun, joined and followed, on a cluster of our own making: e2e has a real one."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.clock import Time
from tests.unit.deliver.test_install import SILENT
from waybill.deliver import import_job, watch
from waybill.deliver.helm import Helm
from waybill.deliver.import_job import CLAIM, SECRET, Import
from waybill.deliver.rollout import Object
from waybill.errors import (
    BadValue,
    ClusterForbidden,
    ClusterUnreachable,
    ImportFailed,
    ImportGoesOn,
)

LABELS = {
    "app.kubernetes.io/instance": "w",
    "app.kubernetes.io/component": "import-1",
    "app.kubernetes.io/name": "import",
}
JOB: dict[str, Any] = {"kind": "Job", "metadata": {"name": "w-import-1", "labels": LABELS}}
RESULT = {"command": "sideload", "result": {"revisions": []}}
PASSWORD = "correct-horse"


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    for module in (watch, import_job):
        monkeypatch.setattr(module, "time", clock)
    return clock


@dataclass
class Cluster:
    """Jobs with the conditions, and pods with the lines, that a function of the time gives."""

    time: Time
    state: Callable[[float], tuple[str, list[dict[str, Any]]]] = lambda _: ("", [])
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    secret: frozenset[str] | None = None
    done: list[str] = field(default_factory=list)
    silent: bool = False
    namespace: str = "ns"

    def listed(self, kind: str, selector: str = "") -> list[Object]:
        if self.silent:
            raise SILENT
        condition, pods = self.state(self.time.now)
        if kind == "jobs":
            assert "instance=w" in selector and "component=import-1" in selector
            ended = [{"type": condition, "status": "True", "message": "it was too often"}]
            status = {"conditions": ended if condition else []}
            return [{**job, "status": status} for job in self.jobs.values()]
        if kind == "secrets":
            return [{"data": {"password": "Y29ycmVjdC1ob3JzZQ=="}}]
        claims = [{"metadata": {"name": name}} for name in ("b", "a")]
        return {"pods": pods, "persistentvolumeclaims": claims}.get(kind, [])  # type: ignore[return-value]

    def events(self, name: str) -> list[Object]:
        assert name in ("w-import-1", "pod-new")
        about = {"type": "Warning", "reason": "FailedMount", "message": "no such volume"}
        return [{"type": "Normal", "reason": "Pulled"}, about]

    def log(self, pod: str, container: str, lines: int) -> str:
        assert lines > 0
        return "\n".join(line for _, line in self.lines(pod, container, ""))

    def lines(self, pod: str, container: str, since: str) -> list[tuple[str, str]]:
        assert container == "import"
        found = [each for each in self.state(self.time.now)[1] if each["metadata"]["name"] == pod]
        stamped = [(f"{at:03}", line) for at, line in enumerate(found[0].get("lines", []), 1)]
        return [each for each in stamped if each[0] > since]

    def secret_keys(self, name: str) -> frozenset[str] | None:
        assert name == "keys"
        return self.secret

    def create(self, kind: str, body: Object) -> bool:
        name = body["metadata"]["name"]
        self.done.append(f"create {kind} {name}")
        fresh = name not in self.jobs
        self.jobs.setdefault(name, job("new"))
        return fresh

    def delete(self, kind: str, name: str) -> None:
        self.done.append(f"delete {kind} {name}")
        self.jobs.pop(name)


def job(uid: str) -> dict[str, Any]:
    return {**JOB, "metadata": {**JOB["metadata"], "uid": uid}}


def pod(*lines: object, phase: str = "Running", uid: str = "new", **status: Any) -> dict[str, Any]:
    said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    about = {"name": f"pod-{uid}", "uid": f"p-{uid}", "ownerReferences": [{"uid": uid}]}
    return {"metadata": about, "status": {"phase": phase, **status}, "lines": said}


def carried_out(cluster: Cluster) -> tuple[Any, list[str]]:
    notes: list[str] = []
    try:
        return import_job.carry_out(JOB, cluster, notes.append), notes
    except ImportFailed as error:
        return error, notes


def test_its_log_is_passed_on_as_it_grows_and_its_result_given(time: Time) -> None:
    lines = ["dropped x.bin: a pickle", "sideload: 1 GB of 2 GB"]

    def state(now: float) -> tuple[str, list[dict[str, Any]]]:
        said = lines[: int(now)]
        return ("Complete", [pod(*said, RESULT)]) if now > 3 else ("", [pod(*said)] if now else [])

    cluster = Cluster(time, state)
    result, notes = carried_out(cluster)
    assert result == RESULT["result"]
    assert notes[0] == "the Job w-import-1 in ns begins"
    assert notes[-2:] == lines
    assert cluster.done == ["create jobs w-import-1", "delete jobs w-import-1"]


def test_one_that_is_at_work_is_joined(time: Time) -> None:
    def state(now: float) -> tuple[str, list[dict[str, Any]]]:
        return ("Complete" if now else "", [pod(RESULT)])

    cluster = Cluster(time, state, {"w-import-1": job("new")})
    _, notes = carried_out(cluster)
    assert "is at work already" in notes[0]
    assert cluster.done == ["delete jobs w-import-1"]


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_one_that_has_ended_is_replaced_and_its_pods_are_not_heard(time: Time, ended: str) -> None:
    old = pod("an old line", {"command": "sideload", "error": {"message": "old"}}, uid="old")

    def state(now: float) -> tuple[str, list[dict[str, Any]]]:
        begun = "create jobs w-import-1" in cluster.done
        return (ended if not begun else "Complete" if now > 1 else "", [old, pod(RESULT)])

    cluster = Cluster(time, state, {"w-import-1": job("old")})
    result, notes = carried_out(cluster)
    assert result == RESULT["result"] and "an old line" not in notes
    assert cluster.done[:2] == ["delete jobs w-import-1", "create jobs w-import-1"]


def test_who_begins_the_same_meanwhile_is_joined(time: Time) -> None:
    cluster = Cluster(time)
    assert import_job.start(JOB, cluster) is True
    cluster.state = lambda _: ("", [])
    assert import_job.start(JOB, cluster) is False
    assert cluster.create("jobs", JOB) is False


def test_a_failure_is_told_in_the_words_of_sideload(time: Time) -> None:
    error = {"message": f"the store refuses {PASSWORD}", "hint": "check the keys"}
    failed = pod("reading", {"command": "sideload", "error": error}, phase="Failed")
    cluster = Cluster(time, lambda now: ("Failed" if now else "", [failed]))
    found, notes = carried_out(cluster)
    assert str(found) == "the import w-import-1 in ns failed: the store refuses (hidden)"
    assert found.advice == "check the keys" and notes[1:] == ["reading"]
    assert cluster.jobs, "it stays, for its log"


def test_a_source_that_is_not_reached_may_be_behind_our_own_wall(time: Time) -> None:
    error = {"code": "SourceUnreachable", "message": "timed out", "hint": "check the address"}
    failed = pod({"command": "sideload", "error": error}, phase="Failed")
    found, _ = carried_out(Cluster(time, lambda now: ("Failed" if now else "", [failed])))
    assert found.advice.startswith("check the address; ") and "network.external" in found.advice


def test_a_failure_without_words_is_explained(time: Time) -> None:
    state = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    status = {"name": "import", "ready": False, "state": state}
    killed = pod(f"{PASSWORD} is it", phase="Failed", containerStatuses=[status])
    found, notes = carried_out(Cluster(time, lambda now: ("Failed" if now else "", [killed])))
    told = "\n".join(notes)
    assert "it was too often" in str(found) and "OOMKilled" in told
    assert "(hidden) is it" in told and "run the command again" in found.advice


def test_what_keeps_it_waiting_is_told_once(time: Time) -> None:
    def state(now: float) -> tuple[str, list[dict[str, Any]]]:
        if now > 5:
            return "Complete", [pod(RESULT)]
        return "", [pod(phase="Pending")] if now > 2 else []

    _, notes = carried_out(Cluster(time, state))
    assert notes[1:] == [
        "w-import-1: FailedMount: no such volume",
        "pod-new: FailedMount: no such volume",
    ]


def test_one_that_cannot_begin_is_given_up_and_removed(time: Time) -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    status = {"name": "import", "ready": False, "restartCount": 0, "state": state}
    stuck = pod(phase="Pending", containerStatuses=[status])
    cluster = Cluster(time, lambda _: ("", [stuck]))
    found, _ = carried_out(cluster)
    assert "no such image" in str(found) and 30 < time.now < 35
    assert cluster.done[-1] == "delete jobs w-import-1"


def test_one_that_somebody_deletes_is_missed(time: Time) -> None:
    def state(now: float) -> tuple[str, list[dict[str, Any]]]:
        if now > 2:
            cluster.jobs.clear()
        return "", []

    cluster = Cluster(time, state)
    assert "has deleted the Job" in str(carried_out(cluster)[0])


def test_ctrl_c_leaves_it_at_work(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", press)
    cluster = Cluster(time)
    with pytest.raises(ImportGoesOn, match="goes on in the cluster, as the Job w-import-1") as left:
        import_job.carry_out(JOB, cluster, lambda _: None)
    assert "kubectl delete job w-import-1 --namespace ns" in left.value.advice
    assert cluster.jobs and left.value.exit_code == 130


def test_an_api_server_may_be_silent_for_a_minute(time: Time) -> None:
    cluster = Cluster(time, jobs={"w-import-1": job("new")})
    cluster.silent = True
    with pytest.raises(ClusterUnreachable):
        import_job.Following(JOB, cluster, lambda _: None).wait()
    assert 60 < time.now < 65


def test_who_may_not_delete_it_leaves_it(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise ClusterForbidden(where="here", what="delete", why="no right")

    cluster = Cluster(time, lambda now: ("Complete" if now else "", [pod(RESULT)]))
    monkeypatch.setattr(cluster, "delete", refuse)
    assert carried_out(cluster)[0] == RESULT["result"]


@dataclass(frozen=True)
class Chart(Helm):
    """Renders what it was told."""

    def template(self) -> list[Object]:
        return [{"kind": "ConfigMap", "metadata": {"labels": {}}}, {**JOB, "told": self.sets}]


def told(wanted: Import, keys: Iterable[str] | None = None) -> dict[str, Any]:
    secret = None if keys is None else frozenset(keys)
    cluster = Cluster(Time(), secret=secret)
    chart = Chart(Path("chart"), "w", "ns", sets={})
    values = wanted.job(chart, cluster)["told"]
    return {key.removeprefix("import."): value for key, value in values.items()}


def test_a_claim_is_mounted_and_its_path_read() -> None:
    found = told(Import("pvc://a/acme/demo/", ["--as=acme/demo"], by="me"))
    assert found == {
        "enabled": True,
        "args": [f"{CLAIM}/acme/demo", "--as=acme/demo"],
        "by": "me",
        "claim": "a",
        "existingSecret": "",
    }
    assert told(Import("pvc://b"))["args"] == [CLAIM]
    assert told(Import("hf://acme/demo"))["claim"] == ""


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("pvc://c/x", "the namespace ns has no claim c; it has a, b"),
        ("pvc://a/../etc", "must stay below the claim"),
        ("pvc://", "it must be pvc://claim/path"),
        ("pvc://A_B/x", "it must be pvc://claim/path"),
        ("./model", "does not see the files of this machine"),
        ("file:///model", "does not see the files of this machine"),
        ("store+file:///store#a/b", "does not see the files of this machine"),
        ("ftp://me:secret@host/x", "not ./path, file:///path"),
        ("s3://key:secret@bucket/x/", "credentials do not belong in a URL"),
    ],
)
def test_what_a_pod_cannot_read_is_refused(source: str, why: str) -> None:
    with pytest.raises(BadValue) as refused:
        told(Import(source))
    assert why in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "keys", "flags"),
    [
        ("s3://b/x/", ["credentials", "token"], ["--source-profile=source"]),
        ("hf://a/b", ["hf-token", "token", "credentials"], []),
        ("pvc://a/x", ["ca.crt"], []),
        ("https://h/x", ["token"], [f"--source-token-file={SECRET}/token"]),
        (
            "oci://h/x:1",
            ["tls.crt", "tls.key", "ca.crt", "config.json"],
            [
                f"--source-ca-bundle={SECRET}/ca.crt",
                f"--source-client-certificate={SECRET}/tls.crt",
                f"--source-client-key={SECRET}/tls.key",
            ],
        ),
    ],
)
def test_a_source_is_led_to_what_the_secret_has_for_it(
    source: str, keys: list[str], flags: list[str]
) -> None:
    found = told(Import(source, secret="keys"), keys)
    assert found["args"][1:] == flags and found["existingSecret"] == "keys"


def test_a_profile_that_is_named_is_kept() -> None:
    flags = ["--source-profile=other"]
    assert told(Import("s3://b/x/", flags, "keys"), ["credentials"])["args"][1:] == flags


def test_a_secret_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadValue, match="'keys' is not usable: the namespace ns has no such Secret"):
        told(Import("s3://b/x/", secret="keys"))
