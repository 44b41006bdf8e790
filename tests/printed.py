"""What commands print with `--json`: every test that reads it holds it to the published schema."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from waybill.cli.schema import SCHEMA

_VALIDATOR = Draft202012Validator(SCHEMA)


def check(value: Any) -> None:
    """Raises ValidationError where value and schema do not have the same fields."""
    if error := best_match(_VALIDATOR.iter_errors(value)):
        raise error


def printed(text: str | bytes) -> dict[str, Any]:
    """The whole object. Raises as `check`."""
    value: dict[str, Any] = json.loads(text)
    check(value)
    return value


def result(text: str | bytes) -> dict[str, Any]:
    """Of a command that has done what it was asked; KeyError for an error."""
    told: dict[str, Any] = printed(text)["result"]
    return told
