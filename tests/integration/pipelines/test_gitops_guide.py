"""The guide's way of a promotion as a change: its commands are run, with a real git repository."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from tests.integration.pipelines.conftest import REPO, git_repository
from tests.unit.release.world import new_world

GUIDES = REPO / "tools/docs"


def blocks(name: str, kind: str = "") -> list[str]:
    text = (GUIDES / name).read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_a_promotion_comes_as_a_change(tmp_path: Path) -> None:
    world = new_world(tmp_path / "project")
    world.pin("dev", world.revision("dev", 1).commit)
    world.promote("dev", "test")
    (world.project / ".gitignore").write_text("stores/\nchange/\nplan.json\n")
    origin = git_repository(world.project, tmp_path / "origin.git")
    (script,) = (block for block in blocks("gitops.md") if "--pull-request" in block)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=world.project,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    branch = (world.project / "change/branch").read_text().strip()
    shown = ["git", "-C", str(origin), "show", "--format=%B", "--name-only", branch]
    told = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    digest = json.loads((world.project / "plan.json").read_text())["digest"]
    assert f"Waybill-Plan: {digest}" in told
    assert told.splitlines()[-1] == "values/pins/prod.yaml"
    assert world.stable("prod") == world.ref("prod") == world.stable("test")


def test_the_import_that_the_guide_shows_is_one() -> None:
    schema = json.loads((REPO / "values/import.schema.json").read_text())
    (shown,) = (block for block in blocks("pipelines.md", "yaml") if "source:" in block)
    Draft202012Validator(schema).validate(yaml.safe_load(shown))
