"""Plans in a real git repository and three buckets of a real MinIO, each step by somebody else."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.printed import printed
from tests.unit.bundle.bundles import FILES, write
from tests.unit.release.site import Site
from tests.unit.release.world import NAMES, REPO, World
from tests.unit.sign.making import policy_file, public_pem, signer, write_key
from waybill.store.audit import audit, inventory
from waybill.store.s3 import S3Backend

PEOPLE = ("alice", "bob", "release")
RULES = {
    "require": ["signature"],
    "signers": ["release"],
    "bytes": "deep",
    "approvals": {"count": 2, "of": ["alice", "bob"]},
}


def git(folder: Path, *words: str) -> str:
    told = subprocess.run(
        ["git", "-C", folder, *words],
        check=True,
        capture_output=True,
        text=True,
        env=author(folder),
    )
    return told.stdout.strip()


def author(folder: Path) -> Mapping[str, str]:
    """Nothing of this machine's git settings."""
    who = {"NAME": folder.name, "EMAIL": f"{folder.name}@example.internal"}
    roles = ("AUTHOR", "COMMITTER")
    made = {f"GIT_{role}_{key}": told for role in roles for key, told in who.items()}
    return {**os.environ, **made, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


class Team:
    """A bare repository, and a clone of it for each of several people."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self._folder = world, folder
        self.keys = {name: signer() for name in PEOPLE}
        self._rules()
        git(world.project, "init", "--quiet", "--initial-branch=main")
        git(world.project, "add", "--all")
        git(world.project, "commit", "--quiet", "--message=Start")
        self.origin = folder / "origin.git"
        git(folder, "clone", "--quiet", "--bare", str(world.project), str(self.origin))

    def _rules(self) -> None:
        values = self.world.project / "values"
        places = yaml.safe_load((values / "environments.yaml").read_text())
        for name in ("test", "prod"):
            places["environments"][name]["trust"] = "values/trust.yaml"
        (values / "environments.yaml").write_text(yaml.safe_dump(places, sort_keys=False))
        known = {name: {"publicKey": public_pem(one.private)} for name, one in self.keys.items()}
        rule = {"signedBy": ["release"], "unsigned": "refuse"}
        policy_file(values / "trust.yaml", keys=known, default=rule)
        policy = {"steps": {"test": {"require": ["signature"]}, "prod": RULES}}
        (values / "policy.yaml").write_text(yaml.safe_dump(policy))

    def clone(self, name: str) -> Path:
        folder = self._folder / name
        git(self._folder, "clone", "--quiet", str(self.origin), str(folder))
        return folder

    def key(self, name: str) -> str:
        return str(write_key(self._folder / f"{name}.pem", self.keys[name].private))


@pytest.fixture
def team(world: World, tmp_path: Path) -> Team:
    """Two revisions are in dev, the first one in test and prod; both are signed."""
    made = Team(world, tmp_path)
    world = made.world = World(world.project)
    for number in (1, 2):
        commit = world.revision("dev", number).commit
        world.pin("dev", commit)
        site = Site(world.project, made.keys)
        site.sign("release")
        if number == 1:
            world.promote("dev", "test")
            world.promote("test", "prod")
    world.promote("dev", "test")
    git(world.project, "add", "--all")
    git(world.project, "commit", "--quiet", "--message=Pins")
    git(world.project, "push", "--quiet", str(made.origin), "main")
    return made


def waybill(project: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "waybill", *words, "--json", "--project", str(project)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(project: Path, *words: str, code: int = 0) -> dict[str, object]:
    process = waybill(project, *words)
    out, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    told = printed(out)
    found: dict[str, object] = told.get("result") or told["error"]
    return found


def held(world: World) -> dict[str, str]:
    """Every object of all stores, every upload that was begun, and every file of the project."""
    found = {}
    for name in NAMES:
        backend = world.store(name).backend
        for stat in backend.list(""):
            data = backend.read(stat.key) or b""
            found[f"{name}/{stat.key}"] = f"{hashlib.sha256(data).hexdigest()} {stat.modified}"
        assert isinstance(backend, S3Backend)
        bucket = world[name].store.removeprefix("s3://").partition("/")[0]
        begun = backend.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        found |= {f"{name}/{one['Key']} {one['UploadId']}": "begun" for one in begun}
    for path in sorted(world.project.rglob("*")):
        if path.is_file() and ".git" not in path.parts:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


SCOPE = ("--from", "test", "--to", "prod")


def test_plan_is_made_approved_and_applied_by_four_people(team: Team, tmp_path: Path) -> None:
    author, pipeline = team.clone("carol"), team.clone("pipeline")
    file, change = str(tmp_path / "plan.json"), tmp_path / "change"
    made = run(author, "plan", *SCOPE, "--by=carol", "--out", file, "--pull-request", str(change))
    assert run(pipeline, "apply", file, "--by=pipeline", code=3)["code"] == "PromotionDenied"
    for name in ("alice", "bob"):
        own = team.clone(name)
        said = run(own, "approve", file, "--key", team.key(name), f"--by={name}")
        assert (said["plan"], said["countsAs"]) == (made["digest"], [name])
    run(pipeline, "apply", file, "--by=pipeline", "--why=CHG-1")
    assert git(pipeline, "status", "--porcelain") == "M values/pins/prod.yaml"
    git(pipeline, "commit", "--quiet", "--all", "--file", str(change / "commit"))
    git(pipeline, "push", "--quiet", "origin", "main")
    git(author, "pull", "--quiet")
    commit = team.world.stable("test")
    assert World(author).stable("prod") == team.world.ref("prod") == commit
    record = team.world.records("prod")[0]
    assert (record.by, record.why, record.plan) == ("pipeline", "CHG-1", made["digest"])
    assert f"Waybill-Plan: {record.plan}" in git(author, "log", "-1", "--format=%B")
    assert len(record.evidence) == 3, "the provenance and two approvals"
    store = team.world.store("prod")
    assert audit(store, inventory(store)).wrong == {}


def test_looking_changes_neither_repository_nor_stores(team: Team, tmp_path: Path) -> None:
    place, file = team.world.project, str(tmp_path / "plan.json")
    run(place, "plan", *SCOPE, "--by=carol", "--out", file)
    for name in ("alice", "bob"):
        run(place, "approve", file, "--key", team.key(name), f"--by={name}")
    model, bundle = write(tmp_path / "model", FILES), str(tmp_path / "bundle")
    run(place, "pack", str(model), "--as", "acme/new", "--out", bundle)
    first = team.world.records("dev")[-1].commit
    before = held(team.world)
    looks = {
        ("plan", *SCOPE): 0,
        ("plan", *SCOPE, "--detailed-exitcode"): 3,
        ("promote", *SCOPE): 3,
        ("apply", file, "--by=pipeline"): 0,
        ("pin", "dev", "chat", f"{REPO}@{first}"): 0,
        ("rollback", "test", "chat"): 0,
        ("sync", "dev", "prod"): 0,
        ("prune", "dev"): 0,
        ("sideload", bundle, "--to", "dev"): 0,
    }
    for words, code in looks.items():
        process = waybill(place, *words, *([] if words[0] == "plan" else ["--dry-run"]))
        _, said = process.communicate(timeout=120)
        assert process.returncode == code, (words, said)
    assert held(team.world) == before
    assert git(place, "status", "--porcelain") == ""


def test_of_two_pipelines_one_wins(team: Team, tmp_path: Path) -> None:
    """Each with a plan of its own, approved; the loser's repository stays as it was."""
    clones = [team.clone(f"pipeline-{number}") for number in range(4)]
    files = [str(tmp_path / f"{clone.name}.json") for clone in clones]
    for clone, file in zip(clones, files, strict=True):
        run(clone, "plan", *SCOPE, f"--by={clone.name}", "--out", file)
        for name in ("alice", "bob"):
            run(clone, "approve", file, "--key", team.key(name), f"--by={name}")
    processes = [
        waybill(clone, "apply", file, f"--by={clone.name}")
        for clone, file in zip(clones, files, strict=True)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 7, 7, 7], said
    winner = clones[codes.index(0)]
    assert [one.by for one in team.world.records("prod")] == [winner.name, "a test"]
    for clone in clones:
        changed = git(clone, "status", "--porcelain")
        assert changed == ("M values/pins/prod.yaml" if clone == winner else "")


def test_hold_is_seen_from_every_clone(team: Team) -> None:
    one, other = team.clone("one"), team.clone("other")
    run(one, "rollback", "test", "chat", "--by=dora")
    denied = run(other, "promote", "--from", "dev", "--to", "test", code=1)
    assert denied["code"] == "PinsDiffer", "its pins file is an old one"
    git(one, "commit", "--quiet", "--all", "--message=Roll back")
    git(one, "push", "--quiet", "origin", "main")
    git(other, "pull", "--quiet")
    denied = run(other, "promote", "--from", "dev", "--to", "test", code=3)
    assert "held by dora" in str(denied["message"])
    run(other, "hold", "release", "test", "chat", "--by=eve")
    run(other, "promote", "--from", "dev", "--to", "test")
    assert team.world.ref("test") == team.world.ref("dev")
