"""Plans: what a promotion would do, as a file that people and gates look at before it is done.

    {"schemaVersion": 1, "digest": …, "plan": …, "signatures": …, "outlook": …}

`plan` is what is agreed to: which revision of each model becomes the pin, and what it was decided
from (policy, trust, values, the records that both refs held). The digest is that of its canonical
JSON (RFC 8785), so the same state gives the same plan with the same digest, and an approval of it
stays good. `signatures` say whose it is. `outlook` is what was seen on the way: what is said of the
revision that the target runs now, bytes to send, verdicts, what the cluster would see; it may be
another one tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from waybill import digest as digests
from waybill.deliver import values
from waybill.deliver.environments import Environment
from waybill.digest import Digest
from waybill.errors import BadFile, PlanOutdated
from waybill.manifest import PROVENANCE, canonical, from_json
from waybill.release import evidence
from waybill.release.gates.stores import licenses_of
from waybill.release.plan_schema import SCHEMA
from waybill.release.policy import Policy
from waybill.release.promote import Promotion, Step
from waybill.sign import trust
from waybill.sign.predicates import Planned
from waybill.sign.statements import LICENSE
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Head
from waybill.store.store import Store

PLAN_TYPE = "application/vnd.waybill.plan.v1+json"
"""The media type of what is agreed to, as the target's store keeps it."""
_VALUES = ("engineArgs", "profile")
"""What a plan shows of a model's entry in the values files."""


@dataclass(frozen=True)
class Plan:
    """`agreed` is the part that the digest is of; `signatures` are envelopes by model."""

    agreed: Mapping[str, Any]
    outlook: Mapping[str, Any] = field(default_factory=dict)
    signatures: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def data(self) -> bytes:
        return canonical(self.agreed)

    @cached_property
    def digest(self) -> Digest:
        return digests.of(self.data)

    @property
    def source(self) -> str:
        return str(self.agreed["from"])

    @property
    def target(self) -> str:
        return str(self.agreed["to"])

    @property
    def by(self) -> str:
        return str(self.agreed["by"])

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        return self.agreed["models"]  # type: ignore[no-any-return]

    def as_json(self) -> dict[str, Any]:
        return {
            "schemaVersion": 1,
            "digest": self.digest,
            "plan": dict(self.agreed),
            "signatures": {model: json.loads(data) for model, data in self.signatures.items()},
            "outlook": dict(self.outlook),
        }

    def write(self, path: Path) -> None:
        """Raises BadFile."""
        values.write(path, canonical(self.as_json()).decode() + "\n")

    @classmethod
    def of(cls, agreed: Mapping[str, Any], where: str) -> Plan:
        """What was agreed to, as it is told elsewhere. Raises BadFile."""
        _check_shape(agreed, SCHEMA["properties"]["plan"], where)
        return cls(agreed)

    @classmethod
    def kept(cls, store: Store, digest: str) -> Plan:
        """As the store of its target keeps it. Raises BadFile, BadValue, BlobMissing, Corrupt."""
        try:
            agreed = from_json(store.read(digests.parse(digest)))
        except (ValueError, RecursionError) as error:
            raise BadFile(path=digest, why=f"it is not JSON that can be used ({error})") from error
        return cls.of(agreed, digest)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Raises BadFile, also when somebody has edited it."""
        try:
            value = from_json(path.read_bytes())
        except OSError as error:
            raise BadFile(path=path, why=error.strerror or str(error)) from error
        except (ValueError, RecursionError) as error:
            raise BadFile(path=path, why=f"it is not JSON that can be used ({error})") from error
        _check_shape(value, SCHEMA, path)
        signatures = {model: canonical(one) for model, one in value.get("signatures", {}).items()}
        plan = cls(value["plan"], value["outlook"], signatures)
        if plan.digest != value["digest"]:
            raise BadFile(path=path, why=f"its plan has another digest: {plan.digest}")
        for model in signatures:
            if not plan.is_signed(model):
                raise BadFile(path=path, why=f"signatures.{model} is of something else")
        return plan

    def is_signed(self, model: str) -> bool:
        """Whether the model's envelope is about this plan, whosever signature it has."""
        if model not in self.models:
            return False
        subject = self.models[model]["digest"]
        said = [one.parsed for one in evidence.envelope(self.signatures[model], subject, None)]
        return any(isinstance(one, Planned) and one.plan == self.digest for one in said)


def _check_shape(value: object, schema: Mapping[str, Any], where: str | Path) -> None:
    if wrong := best_match(Draft202012Validator(schema).iter_errors(value)):
        raise BadFile(path=where, why=f"{wrong.json_path}: {wrong.message[:200]}")


def make(promotion: Promotion, policy: Policy, by: str) -> Plan:
    """The plan of a promotion that was decided, without an outlook. Raises BadFile."""
    source, target = promotion.source, promotion.target
    trusted = target.policy()
    stores = promotion.steps[0].source, promotion.steps[0].move.store
    return Plan(
        {
            "from": source.name,
            "to": target.name,
            "by": by,
            "stores": {"from": stores[0].facts["id"], "to": stores[1].facts["id"]},
            "policy": policy.digest,
            "trust": _digest(target.trust_path),
            "values": _digest(target.values_path),
            "models": {step.move.model: _model(step, source, trusted) for step in promotion.steps},
        }
    )


def _digest(path: Path | None) -> Digest | None:
    """Of a file's content; None where there is none. Raises BadFile."""
    try:
        return digests.of(path.read_bytes()) if path else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error


def _model(step: Step, source: Environment, trusted: trust.Policy | None) -> dict[str, Any]:
    move, revision = step.move, step.move.revision
    held = step.source.head(move.repo, Ref.pin(source.name, move.model))
    return {
        "repo": str(move.repo),
        "commit": revision.commit,
        "digest": revision.digest,
        "size": revision.size,
        **said_of(step.source, move.repo, revision.commit, trusted),
        "previous": move.pinned.commit if move.pinned else None,
        "records": {"from": _record(held), "to": _record(move.seen)},
        "values": _entry(move.environment, move.model),
    }


def said_of(
    store: Store, repo: RepoId, commit: str, trusted: trust.Policy | None
) -> dict[str, list[str]]:
    """`licenses` and `signers` of a revision, as its store has them; raises what `gather` does."""
    said = evidence.gather(store, repo, commit, trusted)
    stated = [licenses_of(one) for one in said if one.predicate_type == LICENSE]
    signed = [one for one in said if one.predicate_type == PROVENANCE and one.signed]
    signers = {name for one in signed for name in one.signers or map(evidence.unknown, one.claims)}
    return {
        "licenses": sorted({" or ".join(names) for names in stated if names}),
        "signers": sorted(signers),
    }


def _record(head: Head | None) -> Digest | None:
    return head.digest if head else None


def _entry(environment: Environment, model: str) -> dict[str, Any]:
    entry = values.model(environment.values_path, model)
    try:
        # Round trip: what YAML reads has types of its own.
        return {key: from_json(json.dumps(entry[key])) for key in _VALUES if key in entry}
    except (ValueError, TypeError, RecursionError) as error:
        why = f"a plan cannot say {' or '.join(_VALUES)} of global.models.{model} ({error})"
        raise BadFile(path=environment.values_path, why=why) from error


def scope(plan: Plan) -> tuple[str, str, set[str]]:
    """From where to where, and which models."""
    return plan.source, plan.target, set(plan.models)


def check(path: str, planned: Plan, now: Plan, promotion: Promotion) -> None:
    """Raises PlanOutdated unless all that it was decided from, and all that it says, is so.

    A model that this very plan has moved already is as it should be: a crash came in between. What
    was decided is done then, whatever rules, evidence and later records say by now.
    """
    begun = any(done(step, planned) for step in promotion.steps)
    for key in ("stores",) if begun else _NAMES:
        if planned.agreed[key] != now.agreed[key]:
            raise PlanOutdated(path=path, what=f"{_NAMES[key]} changed")
    for step in promotion.steps:
        if not done(step, planned):
            _check_model(path, planned, now, step.move.model)


def _check_model(path: str, planned: Plan, now: Plan, model: str) -> None:
    was, stands = planned.models[model], now.models[model]
    if was["digest"] != stands["digest"] or was["records"]["from"] != stands["records"]["from"]:
        what = f"{planned.source} pins {model} at {stands['commit']} by now"
        raise PlanOutdated(path=path, what=what)
    if _target(was) != _target(stands):
        what = f"{model} in {planned.target} is at {stands['previous'] or 'nothing'} by now"
        raise PlanOutdated(path=path, what=f"{what}, or was moved and moved back")
    for key in sorted(was.keys() - _STANDING):
        if was[key] != stands[key]:
            told, found = json.dumps(was[key]), json.dumps(stands[key])
            what = f"{key} of {model}: the plan says {told}, and it is {found}"
            raise PlanOutdated(path=path, what=what)


_STANDING = {"previous", "records"}
"""What a plan says of where a model stands, which it changes itself."""
_NAMES = {
    "stores": "the store of an environment",
    "policy": "values/policy.yaml",
    "trust": "the target's trust policy",
    "values": "the target's values file",
}


def _target(model: Mapping[str, Any]) -> tuple[object, object]:
    return model["previous"], model["records"]["to"]


def done(step: Step, plan: Plan) -> bool:
    """Whether the model's ref was moved by this plan."""
    seen = step.move.seen
    return seen is not None and (seen.commit, seen.record.plan) == (
        step.move.revision.commit,
        plan.digest,
    )
