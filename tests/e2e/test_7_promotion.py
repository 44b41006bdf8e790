"""What dev runs is promoted to test: another namespace with a MinIO and a Keycloak of its own."""

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.conftest import CHART, DEV, TEST, Clock, Project, gateway
from tests.e2e.kube import Kube, until
from waybill.deliver import pins

PINS = "values/pins/test.yaml"


@pytest.mark.timeout(900)
def test_of_two_promotions_one_wins_and_what_dev_runs_answers_in_test(
    project: Project, kube: Kube, tmp_path: Path
) -> None:
    project.install("dev", "--timeout", "300")
    project.install("test", "--timeout", "600")
    project.reaches(kube, "test")
    until("one engine is left in dev", lambda: len(kube.engines(DEV)) == 1, 120)
    with Clock("two planned promotions to an answer in test"):
        name = of_two(project, tmp_path)
        project.install("test", "--timeout", "600")
        answer = gateway(kube, TEST).chat("chat")
    assert answer.status_code == 200, answer.text
    commit = pins.load(project.folder / "values/pins/dev.yaml").models["chat"].stable.commit
    assert answer.headers["x-waybill-model-revision"] == commit
    (record,) = project.waybill("history", "chat", "--env", "test")["environments"]["test"]
    assert (record["by"], record["commit"]) == (name, commit)


def of_two(project: Project, folder: Path) -> str:
    """Two people apply at one moment what each has planned in a clone; who won, and is merged."""
    clones = {name: dataclasses.replace(project, folder=folder / name) for name in ("ann", "ben")}
    for name, clone in clones.items():
        shutil.copytree(project.folder, clone.folder)
        chart = ("--chart", str(CHART), "--values", str(clone.folder / "more-test.yaml"))
        who = ("--by", name, "--out", str(clone.folder / "plan.json"))
        clone.waybill("plan", "--from", "dev", "--to", "test", "chat", *who, *chart)
    with ThreadPoolExecutor(len(clones)) as people:
        begun = {
            name: people.submit(clone.run, "apply", str(clone.folder / "plan.json"), "--by", name)
            for name, clone in clones.items()
        }
    done = {name: each.result() for name, each in begun.items()}
    assert {each.returncode for each in done.values()} == {0, 7}, done
    won, lost = sorted(done, key=lambda name: done[name].returncode)
    assert json.loads(done[won].stdout)["result"]["models"][0]["changes"]
    assert not (clones[lost].folder / PINS).exists(), "the loser pins nothing"
    shutil.copy(clones[won].folder / PINS, project.folder / PINS)
    return won


def test_a_token_of_one_environment_opens_no_other(kube: Kube) -> None:
    theirs = gateway(kube, DEV).token
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}]}
    assert gateway(kube, TEST).post("/v1/chat/completions", body, token=theirs).status_code == 401
