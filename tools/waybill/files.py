"""YAML files that people and tools keep: strictly read, checked by schema, refused by sentence."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from waybill.errors import BadFile

NAME = "^[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?$"
"""Environments and models: they become parts of Kubernetes names."""
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f\\ud800-\\udfff]")
"""No path and no name holds such; the system refuses some of them with a traceback."""

_KINDS = {
    "object": "a map",
    "string": "a string; quote it",
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}
NOT_YAML = (
    *(yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError),
    RecursionError,
)
"""What PyYAML raises, too: for a value that its tag does not fit (`!!bool foo`, `!!int ""`), for a
date that does not exist, and for what is nested too deeply."""


class _Loader(yaml.SafeLoader):
    """Refuses what YAML lets pass: a key given twice, a key that is no string, a broken line."""

    blocks = False

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        known = set()
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                raise _refused(key, "this key is not a string; quote it")
            if key.value in known:
                raise _refused(key, f"the key {key.value!r} stands there twice")
            known.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        block = self.blocks and isinstance(node, yaml.ScalarNode) and node.style == "|"
        if "\n" in value and not block:
            raise _refused(node, "a value has more than one line")
        if _UNPRINTABLE.search(value.replace("\n", "") if block else value):
            raise _refused(node, "a value holds a character that cannot be printed")
        return value


def _finite(loader: _Loader, node: yaml.ScalarNode) -> float:
    """A limit that is no number would never be exceeded."""
    if not isfinite(value := loader.construct_yaml_float(node)):
        raise _refused(node, f"{node.value} is not a number with an end")
    return value


_Loader.add_constructor("tag:yaml.org,2002:float", _finite)


class _Blocks(_Loader):
    """Takes a value of several lines where it is written as a block: `key: |`."""

    blocks = True


def _refused(node: yaml.Node, why: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, why, node.start_mark)


def exists(path: Path) -> bool:
    """Raises BadFile when it cannot be known: no rights, a name that is too long."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error
    return True


def load(path: Path, schema: Mapping[str, Any], *, blocks: bool = False) -> Any:
    """The file's content, None when it is empty. Raises BadFile, also when there is no file.

    `blocks` lets values have several lines, as PEM does.
    """
    return parse(read(path), path, schema, blocks=blocks)


def read(path: Path) -> bytes:
    """Raises BadFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error


def parse(data: bytes, path: Path, schema: Mapping[str, Any], *, blocks: bool = False) -> Any:
    """As `load`, of a file that was read."""
    loader = _Blocks if blocks else _Loader
    try:
        value = yaml.load(data, loader)  # noqa: S506 - derived from SafeLoader
        if value is not None:
            _validate(value, schema, path)
        return value
    except yaml.MarkedYAMLError as error:
        raise BadFile(path=path, why=_located(error)) from error
    except RecursionError as error:
        raise BadFile(path=path, why="it is nested too deeply") from error
    except NOT_YAML as error:
        raise BadFile(path=path, why="it is not YAML text") from error


def _located(error: yaml.MarkedYAMLError) -> str:
    line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
    return f"{line}{error.problem or error.context}"


def _validate(value: object, schema: Mapping[str, Any], path: Path) -> None:
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        key = ".".join(str(part) for part in error.absolute_path)
        raise BadFile(path=path, why=f"{key or 'it'}: {_reason(error)}")


def _reason(error: ValidationError) -> str:
    """jsonschema's finding in words that say what to write instead."""
    rule: Mapping[str, Any] = error.schema  # type: ignore[assignment]
    match error.validator:
        case "additionalProperties":
            known = ", ".join(rule.get("properties", {}))
            extra = sorted(set(error.instance) - set(rule.get("properties", {})))  # type: ignore[arg-type]
            return f"the key {extra[0]!r} is not known; known are: {known}"
        case "required":
            missing = [key for key in rule["required"] if key not in error.instance]  # type: ignore[operator]
            return f"the key {missing[0]!r} is missing"
        case "type":
            kind = _KINDS[str(error.validator_value)]
            return f"{error.instance!r} is not {kind}"
        case "pattern" | "minLength" | "maxLength" if "title" in rule:
            return f"{_without_credentials(error.instance)!r} is not {rule['title']}"
        case _:
            return error.message


def _without_credentials(value: object) -> object:
    return re.sub("//.*@", "//***@", value) if isinstance(value, str) else value
