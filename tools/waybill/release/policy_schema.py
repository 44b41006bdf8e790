"""The schema of values/policy.yaml: what has to be so before anything is promoted."""

from __future__ import annotations

from typing import Any

from waybill import files

GATES = (
    "approvals",
    "bytes",
    "evaluation",
    "freeze",
    "health",
    "hold",
    "license",
    "repo",
    "signature",
    "signer",
    "soak",
)
"""The gates that Waybill has itself."""

_TIME = {
    "type": "string",
    "pattern": "^[1-9][0-9]{0,4}[smhd]$",
    "title": "a time such as 90m, 24h or 14d",
}


def _map(description: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "propertyNames": {
            "pattern": files.NAME,
            "title": "a name of at most 24 lower-case letters, digits and dashes",
        },
        "additionalProperties": values,
    }


def _object(description: str, required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _list(description: str, item: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": item or {"type": "string"},
    }


def _time(description: str) -> dict[str, Any]:
    return {**_TIME, "description": description}


def _number(description: str, **limits: Any) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "description": description, **limits}


_SIGNED_BY = _list("Whose word counts: names of keys in the target's trust policy.")

_HEALTH = _object(
    "How it ran in the environment before, as `waybill watch` has seen and signed it.",
    ["signedBy", "for"],
    signedBy=_SIGNED_BY,
    **{"for": _time("So long it has to have been watched, since it was pinned there.")},
    requests={
        "type": "integer",
        "minimum": 0,
        "description": "At least so many requests have to have come in that time.",
    },
    errorRate=_number("At most this share of them may have failed, from 0 to 1.", maximum=1),
    ttftP95Seconds=_number(
        "The time to the first token may be at most this, for 95 of 100, whenever it was watched."
    ),
)

_EVALUATION = _object(
    "The newest result of the test with this name; `waybill attest` records it.",
    ["signedBy"],
    signedBy=_SIGNED_BY,
    environment={
        "type": "string",
        "description": "Where it has to have been run; in any environment where it is left out.",
    },
    maxAge=_time("An older result counts no more."),
    warnings={
        "enum": ["refuse", "allow"],
        "description": "What becomes of a result that is WARNED; refused where it is left out.",
    },
)

_APPROVALS = _object(
    "Who has to agree to a plan, with `waybill approve`. Who made or applies it does not count.",
    ["count", "of"],
    count={"type": "integer", "minimum": 1, "description": "So many of them, each counted once."},
    of=_list("Names of keys, or of authorities for CI identities, in the target's trust policy."),
    plannedBy=_list(
        "One of these has to have signed, with `waybill plan --key`, that the plan is theirs, and "
        "approves it no more. Names as above; a plan needs no signature where it is left out."
    ),
)

_COMMAND = _object(
    "A command of yours. It gets the plan as JSON on stdin, and says result and reason on stdout.",
    ["command"],
    command=_list(
        "Program and arguments, no shell; run in the project's directory.", {"type": "string"}
    )
    | {"uniqueItems": False},
    timeout=_time("It is ended after this, and has given no verdict; 60s where it is left out."),
)

_STEP = _object(
    "What has to be so for a promotion to this environment.",
    [],
    require=_list(
        "Gates that have to pass: what they skip for want of a rule is denied, too. Any other "
        "gate denies only when it fails."
    ),
    repos=_list("Repos that may come here, with * for any letters; all where it is left out."),
    licenses=_list("Licenses that may come here, by their SPDX or Hugging Face names."),
    signers=_list(
        "One of these keys of the target's trust policy has to have signed the provenance."
    ),
    bytes={
        "enum": ["checked", "deep"],
        "description": "`checked`: each file was verified on its way in, which always holds; "
        "`deep`: each is read back from the target's store before the pins move.",
    },
    soak=_time("So long the environment before has to have run it."),
    health=_HEALTH,
    evaluations=_map("Tests that it has to have passed, by name.", _EVALUATION),
    approvals=_APPROVALS,
    promotedBy=_list(
        "Across the gap: on whose word a promotion of the other side is made here, by names of "
        "keys as above; anybody's whom the trust policy names where it is left out."
    ),
    gates=_map("Gates of your own, by name.", _COMMAND),
)

_WINDOW = _object(
    "From each start on, for that long, it denies promotions to some environments, or allows them.",
    ["cron", "duration", "timeZone"],
    kind={
        "enum": ["deny", "allow"],
        "description": "`deny`: nothing is promoted while it is open, as where this is left out; "
        "`allow`: nothing is promoted while no window of this kind is open.",
    },
    cron={
        "type": "string",
        "description": "When it starts: minute, hour, day of month, month, day of week.",
    },
    duration=_time("How long it lasts, by the clock on the wall there."),
    timeZone={"type": "string", "description": "Whose clock, as Europe/Berlin or UTC."},
    environments=_list("Which; all where it is left out."),
)

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill promotion policy",
    **_object(
        "What has to be so before anything is promoted.",
        [],
        steps=_map("By the environment that is promoted to.", _STEP),
        freeze=_map(
            "When promotions may be made, by name; what one window denies, none allows.", _WINDOW
        ),
    ),
}
"""The schema of values/policy.schema.json (JSON Schema 2020-12)."""
