"""What is said of a revision after packing: tests, health, plans, approvals and promotions.

Each is the predicate of an in-toto statement about the manifest's digest, written once here. Times
are UTC and given in them, for a signature has no clock of its own. Fields that are not known are
passed over, as in-toto asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeAlias

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from waybill.digest import Digest
from waybill.errors import BadFile
from waybill.manifest import PROVENANCE

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
HEALTH = "https://waybill.dev/health/v1"
PLAN = "https://waybill.dev/plan/v1"
APPROVAL = "https://waybill.dev/approval/v1"
PROMOTION = "https://waybill.dev/promotion/v1"
HISTORY = "https://waybill.dev/history/v1"


class Outcome(StrEnum):
    """The result of a test, in the words of the test-result predicate."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


_TEXT = {"type": "string"}
_NUMBER = {"type": "number", "minimum": 0}
_COUNT = {"type": "integer", "minimum": 0}
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_NAMES = {"type": "array", "items": _TEXT}
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "maxLength": 71}
_COMMIT = {"type": "string", "pattern": "^[0-9a-f]{40}$", "maxLength": 40}


def _open(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    """The schema of an object that may have more than these."""
    properties = {**required, **optional}
    return {"type": "object", "properties": properties, "required": list(required)}


@dataclass(frozen=True)
class Trial:
    """A test of a model in an environment. `name` is the test's; `passed`, `warned` and `failed`
    are names of cases; `configuration` are in-toto resource descriptors of what was run."""

    TYPE: ClassVar[str] = TEST_RESULT
    SCHEMA: ClassVar[dict[str, Any]] = _open(
        {
            "result": {"enum": [str(outcome) for outcome in Outcome]},
            "configuration": {"type": "array", "items": {"type": "object"}},
            **dict.fromkeys(("environment", "model", "name", "at"), _TEXT),
        },
        **dict.fromkeys(("passedTests", "warnedTests", "failedTests"), _NAMES),
        seconds=_NUMBER,
        measured={"type": "object"},
    )

    name: str
    environment: str
    model: str
    at: datetime
    result: Outcome
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    configuration: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the test, by name."""

    def as_json(self) -> dict[str, Any]:
        return {
            "result": str(self.result),
            "configuration": [dict(one) for one in self.configuration],
            "passedTests": list(self.passed),
            "warnedTests": list(self.warned),
            "failedTests": list(self.failed),
            "environment": self.environment,
            "model": self.model,
            "name": self.name,
            "at": stamp(self.at),
            "seconds": self.seconds,
            "measured": dict(self.measured),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trial:
        return cls(
            name=value["name"],
            environment=value["environment"],
            model=value["model"],
            at=moment(value["at"]),
            result=Outcome(value["result"]),
            passed=tuple(value.get("passedTests", ())),
            warned=tuple(value.get("warnedTests", ())),
            failed=tuple(value.get("failedTests", ())),
            configuration=tuple(value["configuration"]),
            seconds=value.get("seconds", 0.0),
            measured=value.get("measured", {}),
        )


@dataclass(frozen=True)
class Health:
    """How a revision ran in an environment from `since` to `until`.

    `ttft_seconds`: time to the first token by quantile (`p50`, `p95`); empty without requests.
    `why`: what was wrong with it, in the words of who watched; empty where nothing was.
    """

    TYPE: ClassVar[str] = HEALTH
    SCHEMA: ClassVar[dict[str, Any]] = _open(
        {
            **dict.fromkeys(("environment", "model", "since", "until"), _TEXT),
            **dict.fromkeys(("requests", "errors", "replicas"), _COUNT),
            "commit": _COMMIT,
            "ttftSeconds": {"type": "object", "additionalProperties": _NUMBER},
        },
        why=_TEXT,
    )

    environment: str
    model: str
    commit: str
    since: datetime
    until: datetime
    requests: int
    errors: int
    ttft_seconds: Mapping[str, float]
    replicas: int
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "model": self.model,
            "commit": self.commit,
            "since": stamp(self.since),
            "until": stamp(self.until),
            "requests": self.requests,
            "errors": self.errors,
            "ttftSeconds": dict(self.ttft_seconds),
            "replicas": self.replicas,
            **({"why": self.why} if self.why else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Health:
        return cls(
            environment=value["environment"],
            model=value["model"],
            commit=value["commit"],
            since=moment(value["since"]),
            until=moment(value["until"]),
            requests=value["requests"],
            errors=value["errors"],
            ttft_seconds=value["ttftSeconds"],
            replicas=value["replicas"],
            why=value.get("why", ""),
        )


@dataclass(frozen=True)
class _OfPlan:
    """What somebody says of a plan. Who it is, the signature says; `by` is a name."""

    NAMES: ClassVar[dict[str, Any]] = {
        "plan": _DIGEST,
        **dict.fromkeys(("from", "to", "at", "by"), _TEXT),
    }
    SCHEMA: ClassVar[dict[str, Any]] = _open(NAMES)

    plan: Digest
    source: str
    target: str
    at: datetime
    by: str

    def as_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan,
            "from": self.source,
            "to": self.target,
            "at": stamp(self.at),
            "by": self.by,
        }

    @staticmethod
    def read(value: Mapping[str, Any]) -> tuple[Digest, str, str, datetime, str]:
        plan = Digest(value["plan"])
        return plan, value["from"], value["to"], moment(value["at"]), value["by"]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(*cls.read(value))


@dataclass(frozen=True)
class Planned(_OfPlan):
    """Somebody has made a plan, by its digest."""

    TYPE: ClassVar[str] = PLAN


@dataclass(frozen=True)
class Approval(_OfPlan):
    """Somebody agrees to a plan, by its digest."""

    TYPE: ClassVar[str] = APPROVAL


@dataclass(frozen=True)
class Promotion(_OfPlan):
    """A plan was carried out for this model."""

    TYPE: ClassVar[str] = PROMOTION
    SCHEMA: ClassVar[dict[str, Any]] = _open(
        {**_OfPlan.NAMES, **dict.fromkeys(("model", "why"), _TEXT)}
    )

    model: str
    why: str

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "model": self.model, "why": self.why}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(*cls.read(value), value["model"], value["why"])


@dataclass(frozen=True)
class History:
    """How a model came to be this revision in an environment, for those who see not its store.

    `agreed` is the plan that was carried out, and `records` are the steps, the newest first, each
    as the store has it. `before` are those of the environment that it came from, back to when that
    came to the revision.
    """

    TYPE: ClassVar[str] = HISTORY
    SCHEMA: ClassVar[dict[str, Any]] = _open(
        {
            **dict.fromkeys(("environment", "model"), _TEXT),
            "plan": {"type": "object"},
            "records": {**_OBJECTS, "minItems": 1},
            "before": _OBJECTS,
        }
    )

    environment: str
    model: str
    agreed: Mapping[str, Any]
    records: tuple[Mapping[str, Any], ...]
    before: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "model": self.model,
            "plan": dict(self.agreed),
            "records": [dict(one) for one in self.records],
            "before": [dict(one) for one in self.before],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> History:
        steps = tuple(value["records"]), tuple(value["before"])
        return cls(value["environment"], value["model"], value["plan"], *steps)


Predicate: TypeAlias = Trial | Health | Planned | Approval | Promotion | History
_KNOWN: dict[str, type[Predicate]] = {
    kind.TYPE: kind for kind in (Trial, Health, Planned, Approval, Promotion, History)
}


def is_reserved(predicate_type: str) -> bool:
    """Whether Waybill goes by such statements, so that its own commands alone make them."""
    own = predicate_type.startswith("https://waybill.dev/")
    return own or predicate_type in (PROVENANCE, *_KNOWN)


def parse(predicate_type: str, value: object, where: str) -> Predicate | None:
    """None for a type of others. Raises BadFile for one of ours that does not have its shape."""
    kind = _KNOWN.get(predicate_type)
    if kind is None:
        return None
    if error := best_match(Draft202012Validator(kind.SCHEMA).iter_errors(value)):
        raise BadFile(path=where, why=f"{predicate_type}: {error.json_path}: {error.message[:200]}")
    try:
        return kind.from_json(value)  # type: ignore[arg-type] # the schema says that it is an object
    except ValueError as error:
        raise BadFile(path=where, why=f"{predicate_type}: {error}") from error


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Raises ValueError unless it is a time with its offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} is a time without its zone")
    return at.astimezone(UTC)
