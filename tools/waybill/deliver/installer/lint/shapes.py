"""Rules of types and fields, by schemas of our own: Replicated's let a mistyped key pass."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from waybill.deliver.installer.lint.folder import Document, Folder
from waybill.deliver.installer.lint.rule import Found, rule


@cache
def _schemas() -> dict[str, Any]:
    return yaml.safe_load((resources.files(__package__) / "shapes.yaml").read_text())  # type: ignore[no-any-return]


@rule("invalid-type", "error")
def invalid_type(folder: Folder) -> Found:
    for each in folder.documents:
        for error in _errors(each, folder):
            if error.validator in ("type", "enum", "required"):
                yield each.file, f"{_where(error)}: {error.message}"


@rule("unknown-field", "error")
def unknown_field(folder: Folder) -> Found:
    for each in folder.documents:
        for error in _errors(each, folder):
            if error.validator == "additionalProperties":
                yield each.file, f"{_where(error)}: {error.message}"


def _errors(each: Document, folder: Folder) -> Iterator[ValidationError]:
    generation = "/3" if each in folder.clusters and folder.is_charts_only else ""
    schema = _schemas().get(f"{each.kind}.{each.api}{generation}")
    if schema is None:
        return iter(())
    whole = {
        "type": "object",
        "additionalProperties": False,
        "required": ["spec"],
        "properties": {
            **{key: {"type": "string"} for key in ("apiVersion", "kind")},
            "metadata": {"type": "object"},
            "spec": schema,
        },
        "$defs": _schemas()["$defs"],
    }
    return Draft202012Validator(whole).iter_errors(each.value)


def _where(error: ValidationError) -> str:
    return ".".join(str(step) for step in error.absolute_path) or "the document"
