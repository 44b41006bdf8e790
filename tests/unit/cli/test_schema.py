"""The schema of what commands print: whole, closed, and of use to who reads it."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.printed import check
from waybill.cli.schema import RESULTS, SCHEMA
from waybill.generate.reference import cli_reference

PATTERNS = {
    "^sha256:[0-9a-f]{64}$": f"sha256:{'a' * 64}",
    "^[0-9a-f]{40}$": "a" * 40,
    "^[^/]+/[^/]+$": "acme/demo",
}
VALUES = {"string": "text", "integer": 7, "number": 0.5, "boolean": True, "null": None}
KEY = "a key that is data"


def resolved(shape: dict[str, Any]) -> dict[str, Any]:
    name = shape.get("$ref", "").removeprefix("#/$defs/")
    return {**SCHEMA["$defs"][name], **shape} if name else shape


def sample(shape: dict[str, Any]) -> Any:
    """Something that it describes: the first of several, and of an object what it has to have."""
    shape = resolved(shape)
    match shape:
        case {"const": value} | {"enum": [value, *_]}:
            return value
        case {"anyOf": [first, *_]}:
            return sample(first)
        case {"type": "object", "properties": fields}:
            return {name: sample(fields[name]) for name in shape.get("required", ())}
        case {"type": "object", "additionalProperties": dict(each)}:
            return {KEY: sample(each)}
        case {"type": "array", "items": each}:
            return [sample(each)]
        case {"pattern": pattern}:
            return PATTERNS[pattern]
        case {"type": [kind, *_]} | {"type": str(kind)}:
            return VALUES.get(kind, {})
    return {}


def samples() -> Iterator[Any]:
    """Of each thing that a command may do, a whole output."""
    for words, shape in RESULTS.items():
        for each in shape.get("anyOf", [shape]):
            command, _, action = words.partition(" ")
            nested = {"action": action} if action else {}
            result = sample(each)
            yield {"schemaVersion": 1, "command": command, **nested, "result": result}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All that are not free to be anything, nor hold what is, the outermost first."""
    if isinstance(value, dict) and value.get(KEY) != {}:
        yield value
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, list) or (isinstance(each, dict) and each):
            yield from objects(each)


def spoiled(value: Any) -> Iterator[Any]:
    """Copies that have a field too many, or lack one."""
    for at, found in enumerate(objects(value)):
        for gone in [None, *(name for name in found if name != KEY)]:
            copied = copy.deepcopy(value)
            one = [*objects(copied)][at]
            if gone is None:
                one["extra"] = {"no": "such"}
            else:
                del one[gone]
            yield copied


def shapes(shape: Any) -> Iterator[dict[str, Any]]:
    """All of them below one, which is none that others describe."""
    if isinstance(shape, dict):
        yield shape
        for name, each in shape.items():
            if name == "properties":
                for field in each.values():
                    yield from shapes(field)
            elif name in ("items", "additionalProperties", "anyOf"):
                yield from shapes(each)
    elif isinstance(shape, list):
        for each in shape:
            yield from shapes(each)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_command_has_an_entry() -> None:
    assert {*re.findall("^## waybill (.+)$", cli_reference(), re.MULTILINE)} == {*RESULTS}


@pytest.mark.parametrize("words", sorted({*RESULTS} - {"plan"}))
def test_every_field_is_told_and_every_object_closed(words: str) -> None:
    """The plan is the file's, with a schema of its own."""
    for shape in shapes(RESULTS[words]):
        if "properties" in shape:
            assert shape["additionalProperties"] is False, shape
        fields = {} if words == "attest" else shape.get("properties", {})
        untold = [name for name, field in fields.items() if not resolved(field).get("description")]
        assert untold == [], shape


@pytest.mark.parametrize(
    "value", [*samples()], ids=lambda value: " ".join([value["command"], value.get("action", "")])
)
def test_a_field_too_many_or_too_few_is_refused(value: Any) -> None:
    check(value)
    for bad in spoiled(value):
        with pytest.raises(ValidationError):
            check(bad)


ERROR = {"code": "BadValue", "message": "it is wrong", "hint": ""}
FAILED = {"schemaVersion": 1, "command": "pull", "error": ERROR}


def test_an_error_is_told_without_a_result() -> None:
    check(FAILED)
    check({**FAILED, "command": "images", "action": "push"})


@pytest.mark.parametrize(
    "change",
    [
        {"error": {**ERROR, "code": "NoSuchError"}},
        {"error": {**ERROR, "extra": 1}},
        {"result": {}},
        {"action": "push"},
        {"command": "images"},
        {"command": "images", "action": "no-such"},
        {"command": "no-such"},
        {"schemaVersion": 2},
    ],
)
def test_a_frame_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check({**FAILED, **change})
