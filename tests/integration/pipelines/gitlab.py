"""Reads .gitlab-ci.yml as GitLab does, as far as ours goes; what it does not know, it refuses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from tests.integration.pipelines.runner import SECRETS, Job, Step

Names = Mapping[str, str]
Keys = Mapping[str, Any]
_TERM = re.compile(r'\$(\w+)(?: == (?:"([^"]*)"|\$(\w+)))?')
_CHANGED = "values/imports/chat.yaml"
_KNOWN = {
    *("extends", "tags", "before_script", "script", "rules", "stage", "environment", "variables"),
    *("artifacts", "needs", "resource_group", "allow_failure"),
}


@dataclass(frozen=True)
class Gitlab:
    """`files`: the folder of variables of the type File."""

    folder: Path
    settings: Names
    secrets: Names
    files: Path
    shell = ("bash", "-eo", "pipefail")

    def changed(self, base: str) -> Iterator[Job]:
        about = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_MERGE_REQUEST_IID": "12"}
        return self._jobs("change", {"CI_PIPELINE_SOURCE": "merge_request_event", **about})

    def merged(self, before: str) -> Iterator[Job]:
        about = {"CI_COMMIT_BEFORE_SHA": before, "CI_COMMIT_BRANCH": "main"}
        return self._jobs("main", {"CI_PIPELINE_SOURCE": "push", **about})

    def promoted(self, source: str, target: str) -> Iterator[Job]:
        return self._jobs("main", {"CI_PIPELINE_SOURCE": "web", "FROM": source, "TO": target})

    def replayed(self, target: str, promotion: str) -> Iterator[Job]:
        inputs = {"TO": target, "PROMOTION": promotion}
        return self._jobs("main", {"CI_PIPELINE_SOURCE": "web", **inputs})

    def _jobs(self, branch: str, facts: Names) -> Iterator[Job]:
        flow = yaml.safe_load((self.folder / "gitlab-ci.yml").read_text())
        known = {"GITLAB_CI": "true", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_ID": "7"}
        given = {**self.settings, **_plain(flow["variables"]), **known, **facts}
        assert _rule(flow["workflow"]["rules"], given) is not None
        stages = flow["stages"]
        named = [name for name in flow if name not in ("workflow", "variables", "stages")]
        whole = {name: _extended(flow, name) for name in named if not name.startswith(".")}
        for name, job in sorted(whole.items(), key=lambda each: stages.index(each[1]["stage"])):
            assert set(job) <= _KNOWN, f"{name}: {set(job) - _KNOWN}"
            rule = _rule(job["rules"], given)
            if rule is not None:
                who = "bob" if rule.get("when") == "manual" else "alice"
                own = {**given, "GITLAB_USER_LOGIN": who}
                yield Job(name, tuple(self._steps(job, rule, own)), branch)

    def _steps(self, job: Keys, rule: Keys, given: Names) -> Iterator[Step]:
        names = {**given, **job.get("variables", {}), **rule.get("variables", {})}
        env = {name: _expanded(text, names) for name, text in names.items()}
        place = job.get("environment", "")
        place = _expanded(place if isinstance(place, str) else place["name"], names)
        if "needs" in job:
            yield Step(does="fetch")
        script = "\n".join([*job["before_script"], *job["script"]])
        yield Step(script, env | self._lent(place))
        if "artifacts" in job:
            assert all(path.startswith("out") for path in job["artifacts"]["paths"])
            yield Step(does="keep")

    def _lent(self, environment: str) -> dict[str, str]:
        """As variables of the type File, but the passphrase, which is one line."""
        found = {}
        for name in SECRETS.get(environment, ()):
            if name == "WAYBILL_KEY_PASSPHRASE":
                found[name] = self.secrets[name]
            else:
                path = self.files / f"{environment}-{name}"
                path.write_text(self.secrets[name])
                path.chmod(0o600)
                # There a variable has one name, and another value in each environment.
                found[f"{name.replace('READING_', '')}_FILE"] = str(path)
        return found


def _plain(variables: Keys) -> dict[str, str]:
    return {name: one if isinstance(one, str) else one["value"] for name, one in variables.items()}


def _extended(flow: Keys, name: str) -> dict[str, Any]:
    """Lists are replaced, as there; nothing of ours that is extended has maps on both sides."""
    job = flow[name]
    return {**(_extended(flow, job["extends"]) if "extends" in job else {}), **job}


def _expanded(text: str, names: Names) -> str:
    return re.sub(r"\$(\w+)", lambda found: _expanded(names.get(found[1], ""), names), text)


def _rule(rules: list[Keys], names: Names) -> Keys | None:
    """The first that holds."""
    for rule in rules:
        assert set(rule) <= {"if", "changes", "variables", "when"}, rule
        paths = rule.get("changes", ["*"])
        if _holds(rule["if"], names) and any(fnmatch(_CHANGED, path) for path in paths):
            return rule
    return None


def _holds(condition: str, names: Names) -> bool:
    for term in condition.split(" && "):
        found = _TERM.fullmatch(term)
        assert found, condition
        name, text, other = found.groups()
        value = names.get(name, "")
        wanted = names.get(other, "") if other else text
        if not (value == wanted if wanted is not None else value):
            return False
    return True
