"""What the schema of the output is made of: kinds of values, each told with what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from waybill.bundle import schema
from waybill.bundle.schema import COUNT, closed
from waybill.release.plan_schema import VERDICT

Shape: TypeAlias = dict[str, Any]

DEFINITIONS: dict[str, Shape] = {
    "environment": {"type": "string", "description": "Name of an environment."},
    "model": {"type": "string", "description": "Key of a model in the values files."},
    "repo": {"type": "string", "pattern": "^[^/]+/[^/]+$", "description": "OWNER/NAME."},
    "commit": {
        "type": "string",
        "pattern": "^[0-9a-f]{40}$",
        "description": "Of a revision; it begins the digest of its manifest.",
    },
    "digest": {**schema.DIGEST, "description": "SHA-256 of what it names."},
    "verdict": VERDICT,
}
"""What several commands tell; the schema names it by `$ref`."""


def ref(name: str) -> Shape:
    """What $defs of the schema has by this name."""
    return {"$ref": f"#/$defs/{name}"}


ENVIRONMENT, MODEL, REPO = ref("environment"), ref("model"), ref("repo")
COMMIT, DIGEST, VERDICTS = ref("commit"), ref("digest"), {"items": ref("verdict")}
TEXT: Shape = {"type": "string"}


def _kind(shape: Shape) -> Callable[[str], Shape]:
    """A function that tells what a value of this kind means."""
    return lambda meaning: {**shape, "description": meaning}


text, flag, count = _kind(TEXT), _kind({"type": "boolean"}), _kind(COUNT)
number = _kind({"type": "number", "minimum": 0})
commit, digest, verdicts = _kind(COMMIT), _kind(DIGEST), _kind({"type": "array", **VERDICTS})
anything, anyhow = _kind({}), _kind({"type": "object"})
"""Values that others shape: any, or any object."""


def one_of(meaning: str, *words: str) -> Shape:
    return {"enum": list(words), "description": meaning}


def many(of: Shape, meaning: str) -> Shape:
    return {"type": "array", "items": of, "description": meaning}


def texts(meaning: str) -> Shape:
    return many(TEXT, meaning)


def by_name(of: Shape, meaning: str) -> Shape:
    """An object whose keys are data."""
    return {"type": "object", "additionalProperties": of, "description": meaning}


def maybe(of: Shape, meaning: str) -> Shape:
    """That, or null."""
    return {"anyOf": [of, {"type": "null"}], "description": meaning}


def fields(
    meaning: str, *shared: Mapping[str, Shape], optional: tuple[str, ...] = (), **own: Shape
) -> Shape:
    """An object with these and no others: `shared` is what several have."""
    told: dict[str, Shape] = {}
    for each in (*shared, own):
        told |= each
    return {"description": meaning, **closed(optional, **told)}


def either(meaning: str, *shapes: Shape) -> Shape:
    """For a command that does one thing or another."""
    return {"description": meaning, "anyOf": list(shapes)}


DRY_RUN = flag("Whether nothing was written, and the rest is what would be done.")
KEY_ID = text("Id of the key that signed.")
UNALIASED = texts("Commits of the origin that stand for another packing in the target.")
WRONG = by_name(TEXT, "What is damaged, and what is wrong with it.")
UNTRUSTED = texts("Why the trust policy refuses what it refuses.")
WOULD: Shape = {"const": True, "description": "Nothing was written."}
