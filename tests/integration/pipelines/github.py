"""Reads GitHub workflows as GitHub does, as far as ours go; what it does not know, it refuses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.integration.pipelines.runner import SECRETS, Job, Step

Names = Mapping[str, str]
_OURS = {"actions/checkout", "actions/upload-artifact", "actions/download-artifact"}
_NAME = re.compile(r"(vars|secrets|github|inputs)(\.\w+)+")


@dataclass(frozen=True)
class Github:
    """`summary`: the file of the run's summary."""

    folder: Path
    settings: Names
    secrets: Names
    summary: Path
    shell = ("bash", "-e")

    def changed(self, base: str) -> Iterator[Job]:
        facts = {"event.pull_request.base.sha": base, "event.pull_request.number": "12"}
        return self._jobs("import.yml", "pull_request", "change", facts, {})

    def merged(self, before: str) -> Iterator[Job]:
        return self._jobs("import.yml", "push", "main", {"event.before": before}, {})

    def promoted(self, source: str, target: str) -> Iterator[Job]:
        inputs = {"from": source, "to": target}
        return self._jobs("promote.yml", "workflow_dispatch", "main", {}, inputs)

    def replayed(self, target: str, promotion: str) -> Iterator[Job]:
        inputs = {"to": target, "promotion": promotion}
        return self._jobs("replay.yml", "workflow_dispatch", "main", {}, inputs)

    def _jobs(
        self, name: str, event: str, branch: str, facts: Names, inputs: Names
    ) -> Iterator[Job]:
        flow = yaml.load((self.folder / name).read_text(), yaml.BaseLoader)  # noqa: S506 - `on` is a word there
        assert event in flow["on"], f"{name} does not run for {event}"
        github = {"event_name": event, "actor": "alice", "run_id": "7", "token": "", **facts}
        done: set[str] = set()
        for job_name, job in flow["jobs"].items():
            assert "needs" not in job or job["needs"] in done, f"{job_name} comes too early"
            done.add(job_name)
            context = Context(github, inputs, self.settings, self._lent("reading"))
            if "if" not in job or context.holds(job["if"]):
                lent = self._lent(context.fill(job.get("environment", "")) or "reading")
                context = Context(github, inputs, self.settings, lent)
                yield Job(job_name, tuple(self._steps(flow, job, context)), branch)

    def _lent(self, environment: str) -> dict[str, str]:
        """Those for reading are for all jobs."""
        names = {*SECRETS[environment], *SECRETS["reading"]}
        return {name: self.secrets[name] for name in names}

    def _steps(
        self, flow: Mapping[str, Any], job: Mapping[str, Any], context: "Context"
    ) -> Iterator[Step]:
        built_in = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(self.summary)}
        shared = built_in | context.env(flow) | context.env(job)
        for step in job["steps"]:
            if "run" in step:
                yield Step(step["run"], shared | context.env(step))
                continue
            action = step["uses"].partition("@")[0]
            assert action in _OURS, f"{action} is somebody else's"
            if action != "actions/checkout":
                # What a job leaves is kept also where it fails; plans alone go on to other jobs.
                name = "applied" if step.get("if") == "always()" else "plan"
                assert step["with"] == {"name": name, "path": "out"}
                yield Step(does="keep" if "upload" in action else "fetch")


@dataclass(frozen=True)
class Context:
    """What expressions may name; what is not set is empty, as there."""

    github: Names
    inputs: Names
    vars: Names = field(default_factory=dict)
    secrets: Names = field(default_factory=dict)

    def env(self, of: Mapping[str, Any]) -> dict[str, str]:
        return {name: self.fill(text) for name, text in of.get("env", {}).items()}

    def fill(self, text: str) -> str:
        return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda found: self._value(found[1]), text)

    def holds(self, condition: str) -> bool:
        name, sign, text = condition.partition(" == ")
        assert sign and re.fullmatch(r"'[\w-]+'", text), condition
        return self._value(name) == text.strip("'")

    def _value(self, expression: str) -> str:
        """The first name that is set, of those with `||` between."""
        for name in expression.split(" || "):
            assert _NAME.fullmatch(name), expression
            group, _, key = name.partition(".")
            if value := getattr(self, group).get(key):
                return str(value)
        return ""
