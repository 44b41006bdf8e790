"""Runs Jenkinsfiles in Groovy, by words of our own, and makes jobs of what they say."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.pipelines.runner import Job, Step
from tests.services import needs

Names = Mapping[str, str]
WORDS = Path(__file__).with_name("words.groovy")


@dataclass
class Stage:
    """`when`: its condition; `asks`: the variable that gets the name of who answers."""

    name: str
    when: tuple[str, ...] = ()
    asks: str = ""
    env: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Jenkins:
    """`files`: the folder of secret files."""

    folder: Path
    settings: Names
    secrets: Names
    files: Path
    shell = ("sh", "-xe")

    def changed(self, base: str) -> Iterator[Job]:
        del base  # Jenkins says where the change wants to go, and git knows since when
        about = {"CHANGE_TARGET": "main", "CHANGE_ID": "12", "CHANGE_AUTHOR": "alice"}
        return self._jobs("Jenkinsfile", "change", about, ("changeRequest",))

    def merged(self, before: str) -> Iterator[Job]:
        about = {"BRANCH_NAME": "main", "GIT_PREVIOUS_SUCCESSFUL_COMMIT": before}
        return self._jobs("Jenkinsfile", "main", about, ("branch", "main"))

    def promoted(self, source: str, target: str) -> Iterator[Job]:
        about = {"FROM": source, "TO": target, "BUILD_USER_ID": "alice"}
        carries = ("environment", "[name:WAYBILL_CARRY, value:true]")
        holds = carries if self.settings.get("WAYBILL_CARRY") == "true" else ()
        return self._jobs("Jenkinsfile.promote", "main", about, holds)

    def replayed(self, target: str, promotion: str) -> Iterator[Job]:
        about = {"TO": target, "PROMOTION": promotion}
        return self._jobs("Jenkinsfile.replay", "main", about, ())

    def _jobs(self, name: str, branch: str, facts: Names, holds: tuple[str, ...]) -> Iterator[Job]:
        shared, stages = read(said_by(self.folder / name))
        for stage in stages:
            if stage.when and stage.when != holds:
                continue
            answer = {stage.asks: "bob"} if stage.asks else {}
            own = {key: self._value(key, text) for key, text in stage.env.items()}
            env = {**self.settings, "BUILD_TAG": "build-7", **facts, **shared, **own, **answer}
            yield Job(stage.name, tuple(_steps(stage, env)), branch)

    def _value(self, key: str, text: str) -> str:
        """A word; or a secret: its text, or where the variable wants that, a file with it."""
        found = re.fullmatch(r"credentials\(waybill-([\w-]+)\)", text)
        if not found:
            return text
        secret = self.secrets.get(f"WAYBILL_{found[1].upper().replace('-', '_')}", "")
        if not key.endswith("_FILE"):
            return secret
        path = self.files / found[1]
        path.write_text(secret)
        path.chmod(0o600)
        return str(path)


def _steps(stage: Stage, env: Names) -> Iterator[Step]:
    for word, text in stage.steps:
        if word == "sh":
            yield Step(text, env)
        else:
            yield Step(does={"stash": "keep", "unstash": "fetch"}[word])


def said_by(path: Path) -> list[list[str]]:
    """Each word of a Jenkinsfile: where it stands, the word, its arguments."""
    groovy = needs("WAYBILL_TEST_GROOVY")
    command = ["java", "-cp", groovy, "groovy.ui.GroovyMain", str(WORDS), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def read(said: list[list[str]]) -> tuple[dict[str, str], list[Stage]]:
    """The environment of all stages, and the stages."""
    shared: dict[str, str] = {}
    stages: list[Stage] = []
    for place, word, *given in said:
        if (place, word) == ("stages", "stage"):
            stages.append(Stage(given[0]))
        elif (place, word) == ("environment", "set"):
            (stages[-1].env if stages else shared)[given[0]] = given[1]
        elif place == "when":
            stages[-1].when = (word, *given)
        elif (place, word) == ("input", "submitterParameter"):
            stages[-1].asks = given[0]
        elif word in ("sh", "stash", "unstash"):
            stages[-1].steps.append((word, given[0]))
    return shared, stages
