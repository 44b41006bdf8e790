"""What dev runs is promoted to test: another namespace with a MinIO and a Keycloak of its own."""

import pytest

from tests.e2e.conftest import DEV, TEST, Clock, Project, gateway
from tests.e2e.kube import Kube, until
from waybill.deliver import pins


@pytest.mark.timeout(900)
def test_what_dev_runs_answers_in_test(project: Project, kube: Kube) -> None:
    project.install("dev", "--timeout", "300")
    project.install("test", "--timeout", "600")
    project.reaches(kube, "test")
    until("one engine is left in dev", lambda: len(kube.engines(DEV)) == 1, 120)
    with Clock("promotion to an answer in test"):
        done = project.waybill("promote", "chat", "--from", "dev", "--to", "test")
        assert done["models"][0]["blobs"] > 0
        project.install("test", "--timeout", "600")
        answer = gateway(kube, TEST).chat("chat")
    assert answer.status_code == 200, answer.text
    commit = pins.load(project.folder / "values/pins/dev.yaml").models["chat"].stable.commit
    assert answer.headers["x-waybill-model-revision"] == commit


def test_a_token_of_one_environment_opens_no_other(kube: Kube) -> None:
    theirs = gateway(kube, DEV).token
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}]}
    assert gateway(kube, TEST).post("/v1/chat/completions", body, token=theirs).status_code == 401
