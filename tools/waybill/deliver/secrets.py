"""Secrets that the chart needs and nobody gave: made once, never changed, never deleted.

The chart says which (`waybill.secrets.plan`): its pre-install hook hands the plan to
`waybill secrets`, and so does a person where hooks are forbidden.

    {"labels": {...}, "secrets": {"<name>": {"<key>": {"value": "..."} | {"random": 40}}}}
"""

from __future__ import annotations

import json
import secrets
import string
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from waybill.deliver.helm import Helm
from waybill.errors import BadFile, SecretLacksKeys

PLAN = "plan.json"
"""The key of the hook's ConfigMap that holds the plan."""
ANNOTATIONS = {"helm.sh/resource-policy": "keep"}
_ALPHABET = string.ascii_letters + string.digits
_NAME = "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_ENTRY = {
    "oneOf": [
        {"required": ["value"], "properties": {"value": {"type": "string", "minLength": 1}}},
        {"required": ["random"], "properties": {"random": {"type": "integer", "minimum": 16}}},
    ],
    "type": "object",
    "maxProperties": 1,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["labels", "secrets"],
    "additionalProperties": False,
    "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "secrets": {
            "type": "object",
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": _ENTRY,
            },
        },
    },
}


class Keeper(Protocol):
    """Who keeps Secrets: a namespace of a cluster."""

    def secret_keys(self, name: str) -> frozenset[str] | None:
        """The keys of a Secret, never its values; None when there is no such Secret."""

    def create_secret(
        self,
        name: str,
        data: Mapping[str, str],
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> bool:
        """False when somebody else made it meanwhile: it is left as it is."""


@dataclass(frozen=True)
class Plan:
    """`secrets`: name -> key -> {"value": text} or {"random": number of characters}."""

    labels: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @classmethod
    def parse(cls, text: str, origin: str) -> Plan:
        """Raises BadFile, which never repeats a value."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise BadFile(path=origin, why=f"it is no JSON ({error})") from error
        if wrong := best_match(Draft202012Validator(SCHEMA).iter_errors(data)):
            where = "/".join(str(step) for step in wrong.absolute_path) or "the plan"
            raise BadFile(path=origin, why=f"{where} is not as a plan of Secrets has it")
        return cls(data["labels"], data["secrets"])

    @classmethod
    def among(cls, objects: Iterable[Mapping[str, Any]]) -> Plan:
        """The plan among the rendered objects of the chart, which has none where all are given."""
        for found in objects:
            if found["kind"] == "ConfigMap" and PLAN in found.get("data", {}):
                return cls.parse(found["data"][PLAN], PLAN)
        return cls({}, {})

    @classmethod
    def of(cls, release: Helm) -> Plan:
        """What the hook of a release would make, also where its values forbid the hook."""
        with tempfile.TemporaryDirectory() as folder:
            allowed = Path(folder) / "values.json"
            allowed.write_text(json.dumps({"global": {"secrets": {"create": True}}}))
            return cls.among(replace(release, files=[*release.files, allowed]).template())


@dataclass(frozen=True)
class Outcome:
    """Names of Secrets: those that were missing, and those that were there."""

    made: tuple[str, ...]
    kept: tuple[str, ...]


def make_missing(plan: Plan, keeper: Keeper, *, dry_run: bool = False) -> Outcome:
    """Make what is missing. Raises SecretLacksKeys before anything is made."""
    found = {name: keeper.secret_keys(name) for name in plan.secrets}
    for name, keys in found.items():
        if keys is not None:
            _check(name, keys, plan)
    missing = [name for name, keys in found.items() if keys is None]
    made = missing if dry_run else [name for name in missing if _make(name, plan, keeper)]
    return Outcome(tuple(made), tuple(name for name in plan.secrets if name not in made))


def _make(name: str, plan: Plan, keeper: Keeper) -> bool:
    """False when another run was faster; then its Secret is checked instead."""
    data = {key: _content(entry) for key, entry in plan.secrets[name].items()}
    if keeper.create_secret(name, data, plan.labels, ANNOTATIONS):
        return True
    _check(name, keeper.secret_keys(name) or frozenset(), plan)
    return False


def _content(entry: Mapping[str, Any]) -> str:
    if "value" in entry:
        return str(entry["value"])
    return "".join(secrets.choice(_ALPHABET) for _ in range(entry["random"]))


def _check(name: str, keys: frozenset[str], plan: Plan) -> None:
    if lacking := sorted(plan.secrets[name].keys() - keys):
        raise SecretLacksKeys(name=name, keys=", ".join(lacking))
