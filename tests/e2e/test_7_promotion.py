"""What dev runs is promoted to test: another namespace with a MinIO and a Keycloak of its own."""

import dataclasses
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import CHART, DEV, FIGURES, ROOT, TEST, Clock, Project, gateway
from tests.e2e.kube import Kube, until
from tests.e2e.test_2_models import CHAT
from tests.e2e.test_3_changes import alone, earlier, pinned
from tests.e2e.traffic import Traffic
from tests.printed import result
from waybill.deliver import pins
from waybill.deliver.helm import overlay

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
        told = rolled_out(project, tmp_path)
        answer = gateway(kube, TEST).chat("chat")
    assert answer.status_code == 200, answer.text
    commit = pins.load(project.folder / "values/pins/dev.yaml").models["chat"].stable.commit
    assert answer.headers["x-waybill-model-revision"] == commit
    assert f"every engine serves {commit}" in told
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
    assert result(done[won].stdout)["models"][0]["changes"]
    assert not (clones[lost].folder / PINS).exists(), "the loser pins nothing"
    shutil.copy(clones[won].folder / PINS, project.folder / PINS)
    return won


def rolled_out(project: Project, folder: Path) -> str:
    """By the step of people's pipelines, in a clone of the repository that has the pins now."""
    place, origin = folder / "runner", folder / "origin.git"
    shutil.copytree(project.folder, place, ignore=shutil.ignore_patterns("credentials"))
    files = (place / "values/test.yaml", place / "more-test.yaml")
    own, more = (yaml.safe_load(file.read_text()) for file in files)
    files[0].write_text(yaml.safe_dump(overlay(own, more)))
    (place / "charts").symlink_to(ROOT / "charts")
    path = os.pathsep.join([str(ROOT / ".venv/bin"), os.environ["PATH"]])
    script = f"""
    set -eu
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    git init --quiet --bare -b main {origin}
    git init --quiet -b main .
    git add --all
    git commit --quiet --message "Promote chat"
    git remote add origin {origin}
    git push --quiet origin main
    {ROOT}/values/samples/ci/steps/rollout test
    """
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env={**project.env, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_requests_run_through_a_promotion_and_a_rollback_and_none_is_lost(
    project: Project, kube: Kube
) -> None:
    now, other = pinned(project).stable.commit, earlier(project)
    project.waybill("pin", "dev", "chat", f"{CHAT}@{other}", "--why", "to be promoted")
    with Traffic(gateway(kube, TEST).asking("chat", "verify everywhere")) as running:
        with Clock("a promotion under traffic, until it answers alone"):
            project.waybill("promote", "--from", "dev", "--to", "test", "chat", "--yes")
            project.install("test", "--timeout", "600")
            until("what was promoted answers alone", lambda: alone(running, other), 60)
        with Clock("its rollback, until the one before answers alone"):
            project.release("rollback", "test", "chat", "--install")
            until("the one before answers alone", lambda: alone(running, now), 60)
        running.at_least(10)
    assert running.all == {now, other}
    assert running.lost == [] and running.retried == 0
    FIGURES["requests lost through a promotion and its rollback"] = f"0 of {running}"
    project.waybill("pin", "dev", "chat", f"{CHAT}@{now}", "--why", "as it was")


def test_a_token_of_one_environment_opens_no_other(kube: Kube) -> None:
    theirs = gateway(kube, DEV).token
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}]}
    assert gateway(kube, TEST).post("/v1/chat/completions", body, token=theirs).status_code == 401
