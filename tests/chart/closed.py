"""Schemas as their makers publish them, closed: a key that nobody knows is an error.

API servers and installers would drop it without a word.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator


def closed(schema: Any) -> Any:
    """With what Troubleshoot calls a BoolString as JSON Schema says it."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(each) for key, each in schema.items()}
    if found.get("type") == "BoolString":
        found["type"] = ["string", "boolean"]
    fields = isinstance(found.get("properties"), dict)
    if fields and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def complaints(schema: Any, document: Mapping[str, Any]) -> list[str]:
    # Of metadata, what is published says too little.
    errors = Draft202012Validator(schema).iter_errors({**document, "metadata": {}})
    return [f"{error.json_path}: {error.message}" for error in errors]
