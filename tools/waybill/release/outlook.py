"""What a plan shows beside what is agreed to: what the target runs now, bytes, time, verdicts, and
what the cluster sees.

Nothing is decided from it, so the plan's digest is not of it. What is said of the revision that the
target runs now may grow, and that revision may be gone from the store; neither makes another plan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from waybill.deliver import helm, pins
from waybill.deliver.changes import changes
from waybill.deliver.redaction import redacted
from waybill.errors import BadFile, HelmFailed, HelmMissing, WaybillError
from waybill.release.gates.case import Verdict
from waybill.release.move import Move
from waybill.release.plan import Plan, said_of
from waybill.release.promote import Promotion
from waybill.sign import trust
from waybill.sign.predicates import stamp

RATE = 100_000_000
"""Bytes a second that time is reckoned with where nobody says another: a busy 1 Gbit/s line."""


def look(
    promotion: Promotion,
    verdicts: Sequence[Verdict],
    at: datetime,
    rendered: dict[str, Any],
    rate: int = RATE,
) -> dict[str, Any]:
    """The outlook of a plan, as its schema has it."""
    trusted = promotion.target.policy()
    return {
        "at": stamp(at),
        "changes": any(step.move.changes for step in promotion.steps),
        "before": {step.move.model: _before(step.move, trusted) for step in promotion.steps},
        "bytes": promotion.bytes,
        "missing": {step.move.model: step.bytes for step in promotion.steps},
        "rate": rate,
        "seconds": -(-promotion.bytes // rate),
        "rendered": rendered,
        "gates": [one.as_json() for one in verdicts],
    }


def _before(move: Move, trusted: trust.Policy | None) -> dict[str, Any] | None:
    """What is there now; None where nothing is."""
    held = move.pinned
    if held is None:
        return None
    said: dict[str, Any] = {"licenses": None, "signers": None}
    with suppress(WaybillError):
        said |= said_of(move.store, move.repo, held.commit, trusted)
    facts = {"commit": held.commit, "digest": held.digest, "size": held.size}
    return {**facts, **said, "values": _values(move, held.commit)}


def _values(move: Move, commit: str) -> Any:
    """What the target's values said when a plan brought the commit; None where none is known."""
    with suppress(WaybillError):
        records = move.store.history(move.repo, move.ref)
        for record in takewhile(lambda record: record.commit == commit, records):
            if record.plan:
                return Plan.kept(move.store, record.plan).models.get(move.model, {}).get("values")
    return None


def render(promotion: Promotion, chart: Path, more: Sequence[Path] = ()) -> dict[str, Any]:
    """What the target's objects become by the new pins; why that is not known, where it is not.

    Asks no cluster. `more` are further values files.
    """
    with tempfile.TemporaryDirectory(prefix="waybill-plan-") as folder:
        try:
            now = helm.of(promotion.target, chart, more)
            file = Path(folder) / "pins.yaml"
            file.write_text(_pins(promotion).text)
            kept = [each for each in now.files if each != promotion.target.pins_path]
            then = replace(now, files=[*kept, file], unpinned=None)
            found = changes(now.template(), then.template())
        except (HelmMissing, HelmFailed, BadFile) as error:
            return {"skipped": redacted(str(error)), "changes": []}
    told = [
        {"verb": one.verb, "kind": one.kind, "name": one.name, "lines": list(one.lines)}
        for one in found
    ]
    return {"skipped": None, "changes": told}


def _pins(promotion: Promotion) -> pins.Pins:
    """The target's pins as they will be."""
    held = pins.load(promotion.target.pins_path)
    for step in promotion.steps:
        held = held.with_stable(step.move.model, step.move.revision, gradual=step.move.gradual)
    return held
