"""What gates judge, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from waybill.digest import Digest
from waybill.release.evidence import Evidence, gather
from waybill.release.policy import Policy, Rules
from waybill.release.promote import Promotion, Step
from waybill.sign import trust
from waybill.store.layout import Ref
from waybill.store.record import Record

Place = tuple[str | None, int | None]
"""A file as people name it, and a line of it."""


class Result(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What a gate says. `rule`: where it is asked for; `later`: judged once more when applied."""

    result: Result
    reason: str
    rule: Place = (None, None)
    later: bool = False


@dataclass(frozen=True)
class Verdict:
    """A finding of the gate about one model, or, without one, about the whole plan."""

    gate: str
    model: str | None
    result: Result
    reason: str
    denies: bool
    file: str | None = None
    line: int | None = None

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file or "no policy"

    def as_json(self) -> dict[str, Any]:
        return {
            "gate": self.gate,
            "model": self.model,
            "result": str(self.result),
            "reason": self.reason,
            "denies": self.denies,
            "file": self.file,
            "line": self.line,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Verdict:
        return cls(**{**value, "result": Result(value["result"])})


@dataclass(frozen=True)
class Case:
    """One plan to be judged at a time.

    `document` is the plan as JSON and `digest` what it is known by. `promoters` are the names, of
    people and of keys, of whoever made or applies it. `override` is the reason for promoting in
    spite of a freeze. `sent`: the target has got what it lacked. `past`: by model, the newest
    first, the steps of the source where its store is out of reach, and `ended` when they were told.
    `signatures`: by model, the envelope in which somebody says to have made the plan, where it has
    come with the plan.
    """

    project: Path
    policy: Policy
    promotion: Promotion
    document: Mapping[str, Any]
    digest: Digest
    at: datetime
    promoters: frozenset[str] = field(default_factory=frozenset)
    override: str = ""
    sent: bool = False
    past: Mapping[str, Sequence[Record]] | None = None
    ended: Mapping[str, str] = field(default_factory=dict)
    signatures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.promotion.source.name

    @property
    def target(self) -> str:
        return self.promotion.target.name

    @property
    def rules(self) -> Rules:
        return self.policy.rules(self.target)

    @cached_property
    def trust(self) -> trust.Policy | None:
        """Whom the target trusts."""
        return self.promotion.target.policy()

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """Its models; what is said of each is read once."""
        return tuple(Subject(self, step) for step in self.promotion.steps)

    def rule(self, *keys: str) -> Place:
        """Where the policy has a rule of this step, or would have it."""
        return self.place("steps", self.target, *keys)

    def place(self, *keys: str) -> Place:
        line = self.policy.line(*keys)
        return (self.named(self.policy.path), line) if line else (None, None)

    def named(self, path: Path) -> str:
        """A path as people in the project write it, wherever the project lies."""
        whole, project = path.resolve(), self.project.resolve()
        return str(whole.relative_to(project) if whole.is_relative_to(project) else path)

    def unasked(self, *keys: str) -> Finding:
        """No rule asks for it."""
        why = f"no rule for it in {self.named(self.policy.path)}"
        return Finding(
            Result.SKIP, why if self.policy.exists else "there is no policy", self.rule(*keys)
        )


@dataclass(frozen=True)
class Subject:
    """One model of the case."""

    case: Case
    step: Step

    @property
    def model(self) -> str:
        return self.step.move.model

    @property
    def past(self) -> Iterable[Record]:
        """The steps of the environment that it comes from, the newest first."""
        if self.case.past is not None:
            return self.case.past[self.model]
        return self.step.source.history(self.step.move.repo, Ref.pin(self.case.source, self.model))

    @property
    def place(self) -> tuple[str, str, str]:
        """What is to have run well: environment, model and commit."""
        return self.case.source, self.model, self.step.move.revision.commit

    @cached_property
    def evidence(self) -> list[Evidence]:
        """What is said of the revision where it comes from."""
        move = self.step.move
        return gather(self.step.source, move.repo, move.revision.commit, self.case.trust)

    def signed_by(self, keys: frozenset[str], kind: str) -> list[Evidence]:
        """Statements of a kind that one of these keys has signed."""
        return [
            one
            for one in self.evidence
            if one.predicate_type == kind and keys.intersection(one.signers)
        ]
