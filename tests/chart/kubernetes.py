"""The schemas of Kubernetes, strict ones, from the package kubernetes-validate."""

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

from tests.chart.rendering import OLDEST, Object

CUSTOM = "monitoring.coreos.com/"
"""Kinds that Kubernetes itself does not know."""


def _schemas() -> Path:
    return Path(str(resources.files("kubernetes_validate"))) / "kubernetes-json-schema"


def versions() -> list[str]:
    """Such as 1.27.0, from the oldest that the chart supports."""
    found = [path.name[1:].partition("-")[0] for path in _schemas().glob("v*-local-strict")]
    return sorted(
        (version for version in found if _number(version) >= _number(OLDEST)), key=_number
    )


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _folder(version: str) -> Path:
    return _schemas() / f"v{version}-local-strict"


@cache
def _definitions(version: str) -> Registry[Any]:
    text = (_folder(version) / "_definitions.json").read_text()
    return Resource.from_contents(json.loads(text)) @ Registry()


@cache
def _validator(version: str, kind: str, api: str) -> jsonschema.Draft202012Validator:
    # rbac.authorization.k8s.io/v1 is in rbac-v1
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    schema = json.loads((_folder(version) / f"{kind.lower()}-{group}.json").read_text())
    registry = Resource.from_contents(schema) @ _definitions(version)
    return jsonschema.Draft202012Validator(schema, registry=registry)


def complaints(one: Object, version: str) -> list[str]:
    """What this version of Kubernetes would refuse."""
    if one["apiVersion"].startswith(CUSTOM):
        return []
    validator = _validator(version, one["kind"], one["apiVersion"])
    where = f"{version} {one['kind']}/{one['metadata']['name']}"
    return [f"{where} {error.json_path}: {error.message}" for error in validator.iter_errors(one)]
