"""A site as people have one: a repository, three buckets, keys, and runners that share a folder."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from tests.integration.pipelines.github import Github
from tests.integration.pipelines.gitlab import Gitlab
from tests.integration.pipelines.jenkins import Jenkins
from tests.integration.pipelines.runner import Forge, Job, Outcome, Runner
from tests.integration.release.conftest import probed, world
from tests.printed import result
from tests.services import Minio
from tests.unit.release.world import NAMES, World
from waybill.deliver.provision_objectstore import policy
from waybill.store.layout import RepoId

__all__ = ["probed", "world"]  # fixtures

REPO = Path(__file__).resolve().parents[3]
SAMPLES = REPO / "values/samples/ci"
CHAT = RepoId("acme", "chat")
PASSPHRASE = "of the key of releases"
TRUST = "values/trust.yaml"
POLICY: dict[str, Any] = {
    "steps": {
        "test": {"signers": ["release"]},
        "prod": {
            "signers": ["release"],
            "evaluations": {"acceptance": {"signedBy": ["evidence"], "environment": "test"}},
            "approvals": {"count": 1, "of": ["managers"]},
        },
    }
}
ACCEPTANCE = """#!/bin/sh
# A test of the site's own: the model of this environment is pinned to what its repo has.
grep -q "$2" "values/pins/$1.yaml"
"""


def openssl(*words: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, text=True)
    return done.stdout


def new_key(path: Path, passphrase: str = "") -> str:
    """Makes a private key; the public one, as PEM."""
    locked = ["-aes256", "-pass", f"file:{path}.pass"] if passphrase else []
    path.with_name(f"{path.name}.pass").write_text(passphrase)
    openssl("genpkey", "-algorithm", "ed25519", *locked, "-out", path)
    path.chmod(0o600)
    unlock = ["-passin", f"file:{path}.pass"] if passphrase else []
    return openssl("pkey", "-in", path, *unlock, "-pubout")


def reader(minio: Minio, world: World) -> str:
    """Credentials of a user that may read the three stores, and no more."""
    access, secret = f"reader-{secrets.token_hex(4)}", secrets.token_hex(20)
    places = [world[name].store.removeprefix("s3://").partition("/") for name in NAMES]
    rules = [
        rule for bucket, _, prefix in places for rule in policy("hub", bucket, prefix)["Statement"]
    ]
    host = minio.endpoint.removeprefix("http://")
    root = StaticProvider(minio.access_key, minio.secret_key)
    admin = MinioAdmin(endpoint=host, credentials=root, secure=False)
    admin.policy_add(access, policy={"Version": "2012-10-17", "Statement": rules})
    admin.user_add(access, secret)
    admin.policy_set(access, user=access)
    return f"[waybill]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"


@dataclass(frozen=True)
class Site:
    """`secrets`: text by name, as a person would hand it to the forge."""

    world: World
    origin: Path
    folder: Path
    secrets: Mapping[str, str]
    runner: Runner
    changes: list[str] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.world.project

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.project), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def push(self, why: str, to: str = "main") -> tuple[str, str]:
        """Everything in the project; the commits before and after."""
        before = self.git("rev-parse", "HEAD")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", why)
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{to}")
        return before, self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        self.git("fetch", "--quiet", "origin")
        self.git("reset", "--quiet", "--hard", "origin/main")

    def bring(self, content: str) -> None:
        """A model that is new, and the import that names it."""
        model = self.folder / f"model-{len(self.changes)}"
        self.changes.append(content)
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"says": content}))
        (model / "model.safetensors").write_bytes(content.encode() * 1000)
        imports = self.project / "values/imports"
        imports.mkdir(exist_ok=True)
        entry = {"source": str(model), "as": "acme/chat"}
        (imports / "chat.yaml").write_text(yaml.safe_dump(entry))

    def told(self, *words: str) -> Any:
        """The result of a command in the project as it is on main."""
        self.pull()
        command = [
            sys.executable,
            "-m",
            "waybill",
            *words,
            "--json",
            "--project",
            str(self.project),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return result(done.stdout)

    @property
    def settings(self) -> dict[str, str]:
        """What is set on a forge for all jobs; no cluster can be reached from here."""
        bundles = str(self.folder / "bundles")
        wheels = self.runner.env["WAYBILL_WHEELS"]
        return {"WAYBILL_BUNDLES": bundles, "WAYBILL_ROLLOUT": "none", "WAYBILL_WHEELS": wheels}

    def forge(self, name: str, **settings: str) -> Forge:
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        given = self.settings | settings
        if name == "github":
            return Github(SAMPLES / name, given, self.secrets, self.summary)
        kind = Gitlab if name == "gitlab" else Jenkins
        return kind(SAMPLES / name, given, self.secrets, files)

    @property
    def summary(self) -> Path:
        """What GitHub would show of its runs."""
        return self.folder / "summary.md"

    def run(self, forge: Forge, jobs: Iterable[Job]) -> Outcome:
        """With no secret in what is said, or in what people get to see."""
        outcome = self.runner.run(jobs, forge.shell)
        kept = self.runner.kept.rglob("*") if self.runner.kept.exists() else ()
        seen = [path.read_text() for path in kept if path.is_file()]
        for text in (outcome.said, *seen):
            self.assert_no_secret_in(text)
        return outcome

    def pinned(self, env: str) -> str | None:
        """The commit on main, which the store's ref has to agree with."""
        self.pull()
        stable = World(self.project).stable(env)
        assert World(self.project).ref(env, repo=CHAT) == stable
        return stable

    def assert_no_secret_in(self, text: str) -> None:
        for name, secret in self.secrets.items():
            for line in secret.strip().splitlines():
                plain = "BEGIN" in line or "END" in line or line.startswith("[")
                assert plain or line not in text, f"{name} is told"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a runner that installs the wheel of this project, and keeps what is installed."""
    folder = tmp_path_factory.mktemp("runner")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, capture_output=True, cwd=REPO)
    packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    return {
        "WAYBILL_WHEELS": str(folder),
        "WAYBILL_VENV": str(folder / "venv"),
        # The packages that it needs are those of the tests, for there may be no index.
        "PIP_NO_DEPS": "1",
        "PIP_IGNORE_INSTALLED": "1",
        "PYTHONPATH": str(packages),
        "HOME": str(folder),
    }


@pytest.fixture
def site(world: World, minio: Minio, installed: dict[str, str], tmp_path: Path) -> Site:
    keys = tmp_path / "keys"
    keys.mkdir()
    public = {
        "release": new_key(keys / "release", PASSPHRASE),
        "evidence": new_key(keys / "evidence"),
        "managers": new_key(keys / "managers"),
    }
    _write_project(world.project, public)
    origin = git_repository(world.project, tmp_path / "origin.git")
    given = {
        "WAYBILL_SIGNING_KEY": (keys / "release").read_text(),
        "WAYBILL_KEY_PASSPHRASE": PASSPHRASE,
        "WAYBILL_EVIDENCE_KEY": (keys / "evidence").read_text(),
        "WAYBILL_APPROVAL_KEY": (keys / "managers").read_text(),
        "WAYBILL_READING_CREDENTIALS": reader(minio, World(world.project)),
        "WAYBILL_CREDENTIALS": Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_text(),
    }
    runner = Runner(origin, tmp_path, installed)
    return Site(World(world.project), origin, tmp_path, given, runner)


def _write_project(project: Path, public: Mapping[str, str]) -> None:
    path = project / "values/environments.yaml"
    value = yaml.safe_load(path.read_text())
    for name in NAMES:
        value["environments"][name]["trust"] = TRUST
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    (project / TRUST).write_text(_trust(public))
    (project / "values/policy.yaml").write_text(yaml.safe_dump(POLICY))
    shutil.copytree(SAMPLES / "steps", project / "ci/waybill")
    (project / "ci/acceptance").write_text(ACCEPTANCE)
    (project / "ci/acceptance").chmod(0o755)


def _trust(public: Mapping[str, str]) -> str:
    keys = "".join(
        f"  {name}:\n    publicKey: |\n{indent(text, ' ' * 6)}" for name, text in public.items()
    )
    return f"keys:\n{keys}default: {{signedBy: [release], unsigned: refuse}}\n"


def git_repository(project: Path, origin: Path) -> Path:
    """Makes the project one, and pushes it to a new bare one; the latter."""
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(origin)], check=True)
    words = [
        ["init", "--quiet", "-b", "main"],
        ["config", "user.name", "A person"],
        ["config", "user.email", "person@localhost"],
        ["remote", "add", "origin", str(origin)],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "The project"],
        ["push", "--quiet", "origin", "main"],
    ]
    for each in words:
        subprocess.run(["git", "-C", str(project), *each], check=True, capture_output=True)
    return origin
