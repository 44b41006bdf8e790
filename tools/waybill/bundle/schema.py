"""The JSON schema of bundle.json, and what other schemas of ours are made of."""

from __future__ import annotations

from typing import Any

from waybill import digest as digests

MODELS, STACK = 1, 2
"""Formats: of models alone, and with images. What knows the first alone refuses the second."""


def closed(optional: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """The schema of an object that has these properties, all but `optional`, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


# The lengths shut out a newline at the end, which `$` lets pass.
DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "maxLength": 71}
COUNT = {"type": "integer", "minimum": 0}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_COMMIT = {"type": "string", "pattern": "^[0-9a-f]{40}$", "maxLength": 40}
GIT_OID = {"anyOf": [_COMMIT, {"type": "null"}]}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill bundle index",
    "if": {"required": ["stack"]},
    "then": {"properties": {"format": {"const": STACK}}},
    "else": {"properties": {"format": {"const": MODELS}, "revisions": {"minItems": 1}}},
    **closed(
        optional=("stack",),
        format={"enum": [MODELS, STACK]},
        digest=DIGEST,
        partSize={"type": "integer", "minimum": digests.PIECE},
        base={
            "anyOf": [
                {"type": "null"},
                closed(
                    of={"type": "string"},
                    blobs={
                        "type": "object",
                        "propertyNames": DIGEST,
                        "additionalProperties": COUNT,
                    },
                ),
            ]
        },
        revisions={
            "type": "array",
            "items": closed(
                repo={"type": "string"},
                commit=_COMMIT,
                manifest={"type": "string"},
                upstream=GIT_OID,
                statements=_TEXTS,
                signatures=_TEXTS,
            ),
        },
        stack=closed(
            firstPart={"type": "integer", "minimum": 1},
            images={
                "type": "array",
                "items": closed(name={"type": "string"}, manifest={"type": "string"}),
            },
            files={
                "type": "array",
                "items": closed(path={"type": "string"}, digest=DIGEST, size=COUNT),
            },
        ),
        blobs={
            "type": "object",
            "propertyNames": DIGEST,
            "additionalProperties": closed(size=COUNT, pieces={"type": "array", "items": DIGEST}),
        },
        parts={
            "type": "array",
            "items": closed(
                size=COUNT,
                digest=DIGEST,
                extents={
                    "type": "array",
                    "items": closed(
                        member={"type": "string"},
                        blob=DIGEST,
                        offset=COUNT,
                        length=COUNT,
                        at=COUNT,
                    ),
                },
            ),
        },
    ),
}
