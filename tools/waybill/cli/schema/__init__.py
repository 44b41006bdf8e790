"""What a command prints on stdout with `--json`: one object, whether it goes well or not.

    {"schemaVersion": 1, "command": "inventory", "result": {"url": "s3://models", …}}
    {"schemaVersion": 1, "command": "images", "action": "list", "result": {"images": […]}}
    {"schemaVersion": 1, "command": "pull", "error": {"code": "RepoNotFound", "message": …, …}}

`command` says which fields the result has, and so does `action`, where a command has several. The
code of an error is its name in errors.md; the exit code is the same as without `--json`. Where
a command line cannot be understood, nothing but stderr says so.

`schemaVersion` grows when a field goes, comes only sometimes, or means or holds something else. It
stays as it is for a new command, a new field, and a new word where a field has one of several:
readers pass over what they do not know. The schema knows all of its own version, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping

from waybill import errors
from waybill.cli.schema import cluster, images, releases, stores
from waybill.cli.schema.shapes import DEFINITIONS, Shape, digest, fields, ref, text, verdicts

RESULTS: dict[str, Shape] = {
    **stores.RESULTS,
    **releases.RESULTS,
    **cluster.RESULTS,
    **images.RESULTS,
}
"""By the words of the command, as `images list`."""

_ERROR = fields(
    "Why it failed; the exit code is that of the error.",
    optional=("plan", "gates"),
    code={
        "enum": [each.__name__ for each in errors.every()],
        "description": "The error, as errors.md lists it.",
    },
    message=text("What is wrong, in a sentence."),
    hint=text("What to do; may be empty."),
    plan=digest("The plan that gates denied."),
    gates=verdicts("What each gate said of it."),
)


def _chosen(by: str, cases: Mapping[str, Shape]) -> Shape:
    """What else holds for each value of a property."""
    return {
        "required": [by],
        "properties": {by: {"enum": list(cases)}},
        "allOf": [
            {"if": {"properties": {by: {"const": value}}}, "then": then}
            for value, then in cases.items()
        ],
    }


def _key(words: str) -> str:
    return words.replace(" ", "-")


def _by_command() -> Shape:
    cases: dict[str, Shape] = {}
    actions: dict[str, dict[str, Shape]] = {}
    for words in RESULTS:
        command, _, action = words.partition(" ")
        found = ref(_key(words))
        if action:
            actions.setdefault(command, {})[action] = {"properties": {"result": found}}
            cases[command] = _chosen("action", actions[command])
        else:
            cases[command] = {"properties": {"result": found, "action": False}}
    return _chosen("command", cases)


def _schema() -> Shape:
    chosen = _by_command()
    frame = {
        "schemaVersion": {"const": 1},
        **chosen["properties"],
        "action": text("The second word of such commands as `images list`."),
        "result": {"description": "What the command of that name has found or done."},
        "error": ref("error"),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Waybill output",
        "description": "What a command prints on stdout with --json.",
        "type": "object",
        "properties": frame,
        "required": ["schemaVersion", *chosen["required"]],
        "additionalProperties": False,
        "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
        "allOf": chosen["allOf"],
        "$defs": {
            **DEFINITIONS,
            "error": _ERROR,
            **{_key(words): result for words, result in RESULTS.items()},
        },
    }


SCHEMA = _schema()
"""The schema of tools/docs/output.schema.json (JSON Schema 2020-12)."""
