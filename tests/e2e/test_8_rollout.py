"""New revisions that are followed, and edits by hand that are found, while requests run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import DEV, FIGURES, RELEASE, TEST, Clock, Project
from tests.e2e.kube import Kube, until
from tests.e2e.test_2_models import CHAT
from tests.e2e.test_3_changes import alone, earlier, pinned, traffic

STEPS = {
    "steps": [{"weight": 40, "pause": "10s"}, {"weight": 60, "pause": "30s"}],
    "limits": {"ttftSeconds": 1, "requests": 10},
}
HESITATE = """
import os, signal, time
from pathlib import Path
name = b"VLLM::EngineCore"
lines = Path("/proc").glob("[0-9]*/cmdline")
(core,) = [int(each.parent.name) for each in lines if each.read_bytes().startswith(name)]
Path("/tmp/slowed").touch()
while Path("/tmp/slowed").exists():
    os.kill(core, signal.SIGSTOP)
    time.sleep(2)
    os.kill(core, signal.SIGCONT)
    time.sleep(0.3)
"""
"""The engine behind a server stands still again and again: it answers, and takes its time."""
BEGIN = f"""
import subprocess, sys, time
from pathlib import Path
command, none = [sys.executable, "-c", {HESITATE!r}], subprocess.DEVNULL
slow = subprocess.Popen(command, start_new_session=True, stdout=none, stderr=none)
while slow.poll() is None and not Path("/tmp/slowed").exists():
    time.sleep(0.1)
print(slow.poll())
"""
END = 'from pathlib import Path; print(Path("/tmp/slowed").unlink())'
DIE = """
import os, signal
from pathlib import Path
lines = Path("/proc").glob("[0-9]*/cmdline")
(core,) = [int(e.parent.name) for e in lines if e.read_bytes().startswith(b"VLLM::EngineCore")]
os.kill(core, signal.SIGKILL)
"""
"""What a server does of whose engine nothing is left."""


@pytest.fixture(scope="module")
def other(project: Project, kube: Kube) -> str:
    """A revision that dev had before, and steps that it is to take. The node is dev's alone."""
    for each in kube.apps.list_namespaced_deployment(TEST).items:
        kube.scale(TEST, "deployment", each.metadata.name, 0)
    path = project.folder / "values/dev.yaml"
    values = yaml.safe_load(path.read_text())
    values["global"]["models"]["chat"] |= STEPS
    path.write_text(yaml.safe_dump(values))
    # The tests look by themselves.
    project.values["drift"] = {"enabled": True, "schedule": "0 0 29 2 *"}
    return earlier(project)


@contextmanager
def slow(kube: Kube, component: str) -> Iterator[None]:
    """One engine is slower meanwhile."""
    (pod,) = kube.pods(DEV, component)
    assert kube.python(DEV, pod.metadata.name, BEGIN).strip() == "None", "none is slowed down"
    try:
        yield
    finally:
        assert kube.python(DEV, pod.metadata.name, END).strip() == "None", "it was not slow"


def watch(project: Project, *flags: str, code: int = 0) -> dict[str, Any]:
    done = project.release("watch", "dev", "--model", "chat", *flags, code=code)
    (told,) = done["models"]
    return dict(told)


@pytest.mark.timeout(600)
def test_a_canary_that_gets_worse_is_set_back_by_itself(
    project: Project, kube: Kube, other: str
) -> None:
    old = pinned(project).stable.commit
    project.waybill("pin", "dev", "chat", f"{CHAT}@{other}")
    with traffic(kube, pause=0.1) as running, ThreadPoolExecutor(1) as aside:
        project.install("dev", "--timeout", "300")
        assert alone(running, old), "it has no share before somebody watches it"
        watched = aside.submit(watch, project, code=3)
        in_step(project, 60)
        with slow(kube, f"vllm-chat-{other[:8]}"), Clock("a canary gets worse, to set back"):
            assert not watched.done(), "it was bad before it got worse"
            told = watched.result()
        assert told["back"] == old
        assert told["why"].startswith("with 60 % of the traffic") and "waits" in told["why"]
        assert told["errors"] == 0
        until("the old one answers alone", lambda: alone(running, old), 30)
    assert running.all == {old, other}
    assert running.lost == []
    FIGURES["requests lost while a canary was set back"] = f"0 of {running}"
    record = project.waybill("history", "chat", "--env", "dev")["environments"]["dev"][0]
    assert (record["commit"], record["why"]) == (old, told["why"])
    assert pinned(project).traffic["stable"].commit == old


def in_step(project: Project, weight: int) -> None:
    """Wait until the steps before have done well."""
    until(f"{weight} %", lambda: pinned(project).traffic["stable"].weight == weight, 120)


@pytest.mark.timeout(600)
def test_a_canary_that_fails_is_set_back_and_its_requests_are_answered_by_the_other(
    project: Project, kube: Kube, other: str
) -> None:
    old = pinned(project).stable.commit
    project.waybill("pin", "dev", "chat", f"{CHAT}@{other}")
    project.install("dev", "--timeout", "300")
    (pod,) = kube.pods(DEV, f"vllm-chat-{other[:8]}")
    with traffic(kube, pause=0.1) as running, ThreadPoolExecutor(1) as aside:
        watched = aside.submit(watch, project, code=3)
        in_step(project, 60)
        kube.python(DEV, pod.metadata.name, DIE)
        with Clock("a canary whose engine dies, to set back"):
            told = watched.result()
        assert (told["back"], pinned(project).stable.commit) == (old, old)
        assert told["why"].startswith("with 60 % of the traffic") and told["errors"] > 0
        until("the old one answers alone", lambda: alone(running, old), 30)
    assert running.lost == []
    FIGURES["requests lost while a canary died"] = f"0 of {running}"


@pytest.mark.timeout(600)
def test_a_good_one_gets_all_the_traffic_and_no_request_is_lost(
    project: Project, kube: Kube, other: str
) -> None:
    project.waybill("pin", "dev", "chat", f"{CHAT}@{other}")
    project.install("dev", "--timeout", "300")
    with traffic(kube, pause=0.1) as running:
        told = watch(project, "--for", "5s")
        assert (told["why"], told["commit"]) == ("", other)
        assert told["requests"] > 10
        assert told["ttftSeconds"]["p95"] > 0
        assert alone(running, other)
        with Clock("rollback of a model to its last answer"):
            project.release("rollback", "dev", "chat", "--install")
            until("the one before answers alone", lambda: not alone(running, other), 30)
    assert running.lost == []
    FIGURES["requests lost in a rollout by steps and a rollback"] = f"0 of {running}"


@pytest.fixture
def edited(project: Project, kube: Kube) -> Iterator[None]:
    """A weight, a count and a rule are changed by hand; all of it is put back."""
    project.install("dev", "--timeout", "300")
    routes = f"{RELEASE}-gateway-routes"
    held = kube.core.read_namespaced_config_map(routes, DEV).data["routes.yaml"]
    text = held.replace("weight: 100", "weight: 99")
    assert text != held
    kube.core.patch_namespaced_config_map(routes, DEV, {"data": {"routes.yaml": text}})
    kube.scale(DEV, "deployment", f"{RELEASE}-model-hub", 1)
    yield
    project.install("dev", "--timeout", "300")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("other", "edited")
def test_drift_made_by_hand_is_found_from_outside_and_inside(project: Project, kube: Kube) -> None:
    with Clock("drift of an environment"):
        found = project.release("drift", "dev", "--detailed-exitcode", code=5)
    fields = {(each["object"], each["field"]): each for each in found["findings"]}
    hub = fields[f"Deployment {RELEASE}-model-hub", "spec.replicas"]
    assert (hub["expected"], hub["found"]) == ("2", "1")
    weight = fields[f"ConfigMap {RELEASE}-gateway-routes", "data.routes.yaml"]
    assert "99" in weight["found"] and weight["by"]
    assert {each["between"] for each in fields.values()} == {"release and cluster"}
    assert found["unread"] == []
    log = looked_inside(kube)
    assert "spec.replicas: 2 expected, 1 found" in log
    assert "weight: 99" in log


def looked_inside(kube: Kube) -> str:
    """What the CronJob's next Job says, started now."""
    template = kube.batch.read_namespaced_cron_job(f"{RELEASE}-drift", DEV).spec.job_template
    body = {"metadata": {"name": "drift-now"}, "spec": template.spec}
    kube.batch.create_namespaced_job(DEV, body)
    done: dict[str, Any] = {}

    def ended() -> bool:
        status = kube.batch.read_namespaced_job("drift-now", DEV).status
        done.update(failed=status.failed, succeeded=status.succeeded)
        return bool(status.failed or status.succeeded)

    until("the look inside has ended", ended, 120)
    assert done["failed"], "it fails where something differs"
    (pod,) = kube.core.list_namespaced_pod(DEV, label_selector="job-name=drift-now").items
    return str(kube.core.read_namespaced_pod_log(pod.metadata.name, DEV))


def test_what_was_put_back_differs_in_nothing(project: Project, kube: Kube) -> None:
    until("the hub is whole", lambda: len(kube.pods(DEV, "model-hub")) == 2, 60)
    found = project.release("drift", "dev", "--detailed-exitcode")
    assert found["findings"] == [] and found["unread"] == []
