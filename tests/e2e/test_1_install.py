"""An environment from nothing to ready, before any model is there."""

import subprocess

import httpx
import pytest
from pytest_helm_charts.clusters import Cluster
from pytest_helm_charts.k8s.deployment import wait_for_deployments_to_run
from pytest_helm_charts.k8s.stateful_set import wait_for_stateful_sets_to_run

from tests.e2e.conftest import DEV, RELEASE, Clock, Project, gateway
from tests.e2e.kube import Kube


@pytest.mark.timeout(900)
def test_dev_is_installed_and_ready(project: Project, kube_cluster: Cluster) -> None:
    before = project.release("doctor", "dev")
    assert before["ok"], before["findings"]
    with Clock("install of dev to ready"):
        done = project.install("dev", "--timeout", "600")
    assert done["revision"] == 0 and {each["verb"] for each in done["changes"]} == {"add"}
    # At once, and by a judge that is not ours.
    for ready, components in (
        (wait_for_deployments_to_run, ("gateway", "model-hub")),
        (wait_for_stateful_sets_to_run, ("keycloak", "minio")),
    ):
        names = [f"{RELEASE}-{component}" for component in components]
        ready(kube_cluster.kube_client, names, DEV, 1, missing_ok=False)


def test_a_second_installation_changes_nothing(project: Project) -> None:
    assert project.install("dev", "--dry-run", "--detailed-exitcode")["changes"] == []


def test_the_charts_own_tests_pass(project: Project) -> None:
    helm = project.env["WAYBILL_HELM"]
    command = [helm, "test", RELEASE, "--namespace", DEV, "--timeout", "120s"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_strangers_are_refused_and_members_see_no_model_yet(kube: Kube) -> None:
    door = gateway(kube, DEV)
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{door.url}/v1/models").status_code == 401
        client.headers["authorization"] = f"Bearer {door.token}"
        answer = client.get(f"{door.url}/v1/models")
    assert answer.status_code == 200 and answer.json()["data"] == []


def test_a_wrong_value_is_refused_with_what_to_do(project: Project) -> None:
    project.values["global"]["models"] = {"m": {"enabled": True, "profile": "tpu"}}
    refused = project.install("dev", code=1)
    project.values["global"]["models"] = {}
    assert "tpu" in refused["error"]["message"]


@pytest.mark.timeout(180)
def test_a_pod_that_cannot_start_is_explained(project: Project) -> None:
    project.values["gateway"]["image"] = {"tag": "0.0.0-missing", "pullPolicy": "Never"}
    failed = project.install("dev", "--timeout", "90", code=1)
    project.values["gateway"].pop("image")
    assert "0.0.0-missing" in failed["stderr"]
    assert "Image" in failed["error"]["message"]
    project.install("dev", "--timeout", "120")
