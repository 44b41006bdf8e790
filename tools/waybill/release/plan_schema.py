"""The schema of plan.json."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_COUNT = {"type": "integer", "minimum": 0}
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_COMMIT = {"type": "string", "pattern": "^[0-9a-f]{40}$"}


def _or_null(kind: dict[str, Any], description: str = "") -> dict[str, Any]:
    told = {"description": description} if description else {}
    return {"anyOf": [kind, {"type": "null"}], **told}


def _object(description: str, **properties: Any) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _told(description: str, kind: dict[str, Any]) -> dict[str, Any]:
    return {**kind, "description": description}


_MODEL = _object(
    "What becomes the model's pin, and what stands there now.",
    repo=_TEXT,
    commit=_COMMIT,
    digest=_told("Of the revision's manifest.", _DIGEST),
    size=_told("Bytes of its files.", _COUNT),
    licenses=_told("As statements about it name them.", _TEXTS),
    signers=_told(
        "Who signed its provenance, by the names of the target's trust policy; of a key that it "
        "does not name, what the signature claims, and `(not known)`.",
        _TEXTS,
    ),
    previous=_or_null(_COMMIT, "What the target pins."),
    records=_object(
        "What the refs of both environments held.",
        **{"from": _or_null(_DIGEST), "to": _or_null(_DIGEST)},
    ),
    values=_told("Engine arguments and hardware in the target's values.", {"type": "object"}),
)

_AGREED = _object(
    "What is agreed to; the digest is that of its canonical JSON (RFC 8785).",
    **{"from": _TEXT, "to": _TEXT},
    by=_told("Who made it, and does not count among its approvers.", _TEXT),
    stores=_object("The ids of the two stores.", **{"from": _TEXT, "to": _TEXT}),
    policy=_or_null(_DIGEST, "Of values/policy.yaml."),
    trust=_or_null(_DIGEST, "Of the target's trust policy."),
    values=_or_null(_DIGEST, "Of the target's values file."),
    models={
        "description": "By name.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _MODEL,
    },
)

_BEFORE = _object(
    "A revision that the target runs now; what is said of it by its own store.",
    commit=_COMMIT,
    digest=_DIGEST,
    size=_COUNT,
    licenses=_or_null(_TEXTS, "Null where the store cannot tell."),
    signers=_or_null(_TEXTS, "Null where the store cannot tell."),
    values=_or_null(
        {"type": "object"},
        "Engine arguments and hardware as the plan says that brought it here; null without one.",
    ),
)

VERDICT = _object(
    "What a gate says, of a model or of the whole plan.",
    gate=_TEXT,
    model=_or_null(_TEXT),
    result={"enum": ["pass", "fail", "skip", "error"]},
    reason=_TEXT,
    denies=_told("Whether the promotion is denied for it.", {"type": "boolean"}),
    file=_or_null(_TEXT, "Where the rule stands."),
    line=_or_null({"type": "integer", "minimum": 1}),
)

_CHANGE = _object(
    "An object of the cluster that would differ.",
    verb={"enum": ["add", "change", "remove"]},
    kind=_TEXT,
    name=_TEXT,
    lines=_told("Its YAML as a unified diff.", _TEXTS),
)

_OUTLOOK = _object(
    "What was seen when it was made.",
    at=_told("When; UTC.", _TEXT),
    changes=_told("Whether it would move anything.", {"type": "boolean"}),
    before={
        "description": "What becomes of what, by model; null where the target runs nothing of it.",
        "type": "object",
        "additionalProperties": _or_null(_BEFORE),
    },
    bytes=_told("What the target's store lacks.", _COUNT),
    missing={
        "description": "The same by model; what several share counts for each.",
        "type": "object",
        "additionalProperties": _COUNT,
    },
    rate=_told("Bytes a second that the time is reckoned with.", _COUNT),
    seconds=_told("How long the sending would take.", _COUNT),
    rendered=_object(
        "What the cluster would see; `skipped` says why that is not known.",
        skipped=_or_null(_TEXT),
        changes={"type": "array", "items": _CHANGE},
    ),
    gates={"type": "array", "items": VERDICT},
)

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill plan",
    **_object(
        "What a promotion would do.",
        schemaVersion={"const": 1},
        digest=_DIGEST,
        plan=_AGREED,
        signatures={
            "description": "By model: that somebody has made it, as a signed statement about the "
            "model's digest (DSSE, https://waybill.dev/plan/v1). Empty without `plan --key`.",
            "type": "object",
            "additionalProperties": {"type": "object"},
        },
        outlook=_OUTLOOK,
    ),
}
"""The schema of tools/docs/plan.schema.json (JSON Schema 2020-12)."""
# Plans of the first release have neither, and may wait for their approvals.
SCHEMA["required"].remove("signatures")
_OUTLOOK["required"].remove("before")
