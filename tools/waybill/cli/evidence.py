"""`waybill evidence`: what is said of a revision from its source to production, and by whom."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waybill import digest as digests
from waybill.cli.arguments import Commands, project
from waybill.cli.output import Console, Report, counted, human, table
from waybill.deliver.environments import Environments
from waybill.release import chain as chains
from waybill.release import export
from waybill.release.chain import KINDS, Chain, Place
from waybill.release.evidence import Evidence, unknown
from waybill.sign.predicates import Approval, Health, History, Planned, Promotion, Trial, stamp
from waybill.store.record import Head


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "evidence",
        help="what is said of a revision from its source to production, and by whom",
        description="Every statement about a revision in the stores of all environments, who has "
        "signed it, and each step of its way. With --out, as files that sha256sum and openssl "
        "can check.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="key of the model; or OWNER/NAME@COMMIT, or a digest"
    )
    parser.add_argument(
        "--env", metavar="ENV", help="the revision that is pinned here (default: the last that is)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for an auditor")
    parser.set_defaults(run=_evidence)


def _evidence(args: argparse.Namespace, _: Console) -> Report:
    found = chains.chain(Environments.load(project(args)), args.model, args.env)
    told, data = _told(found), _data(found)
    if args.out is None:
        return Report(told, data)
    files = export.write(found, args.out, told)
    text = f"{told}\n\n{counted(len(files), 'file')} in {args.out}: {export.README} says more"
    return Report(text, {**data, "files": files, "out": str(args.out)})


def _told(found: Chain) -> str:
    manifest = found.manifest
    size = f"{human(manifest.size)} in {counted(len(manifest.files), 'file')}"
    said = [
        [*_row(found, one), _signed(found, one), _where(places)] for one, places in found.evidence
    ]
    steps = [
        [place.name, model, head.record.at, head.record.by, _why(head), _plan(head)]
        for place in found.places
        for model, heads in place.records.items()
        for head in reversed(heads)
        if head.commit == manifest.commit
    ]
    blocks = [
        f"{found.repo} at {manifest.commit}\n{manifest.descriptor.digest}, {size}",
        "\n".join(_standing(place) for place in found.places),
        table(["SAID", "OF WHAT", "SIGNED BY", "IN"], said) if said else "nothing is said of it",
    ]
    if steps:
        blocks.append(table(["STEP", "MODEL", "WHEN", "BY", "WHY", "PLAN"], steps))
    return "\n\n".join(blocks)


def _standing(place: Place) -> str:
    if place.error:
        return f"{place.name}: {place.error}"
    if place.manifest is None:
        return f"{place.name}: not there"
    shares = [
        f"{model} {slot} {weight} %"
        for model, slots in place.traffic.items()
        for slot, weight in slots.items()
    ]
    trusted = place.wrong or ("trusted" if place.policy else "no trust policy")
    return f"{place.name}: {', '.join(shares) or 'not pinned'}; {trusted}"


def _why(head: Head) -> str:
    return "; ".join(filter(None, ["on hold" * head.record.hold, head.record.why]))


def _row(found: Chain, one: Evidence) -> list[str]:
    lost = found.carried_out(one) is False
    told = f"{_what(one)}: no step names it" if lost else _what(one)
    return [KINDS.get(one.predicate_type, one.predicate_type), told]


def _what(one: Evidence) -> str:
    """The gist of a statement, in a line."""
    match one.parsed:
        case Trial() as trial:
            counts = f"{len(trial.passed)} passed, {len(trial.failed)} failed"
            return f"{trial.name} {trial.result} in {trial.environment} {stamp(trial.at)}, {counts}"
        case Health() as health:
            span = f"{stamp(health.since)} to {stamp(health.until)}"
            return f"{health.environment} {span}, {health.requests} requests, {health.errors} wrong"
        case Planned() | Approval() | Promotion() as said:
            step = f"{said.source} → {said.target} by {said.by} {stamp(said.at)}"
            return f"{step}, plan {digests.short(said.plan)}"
        case History() as history:
            steps = counted(len(history.records), "step")
            return f"{steps} of {history.model} in {history.environment}, for the other side"
    kind = KINDS.get(one.predicate_type, "")
    return _of_packing(kind, one.predicate) or digests.short(one.digest)


def _of_packing(kind: str, predicate: Any) -> str:
    """What packing has said; empty for a predicate that does not look like it."""
    try:
        match kind:
            case "provenance":
                facts = predicate["buildDefinition"]["externalParameters"]
                return " ".join(str(facts[key]) for key in ("source", "commit") if facts.get(key))
            case "license":
                return str(predicate["license"] or "none is named")
            case "bom":
                return f"{predicate['bomFormat']}, {counted(len(predicate['components']), 'file')}"
    except (KeyError, TypeError, AttributeError):
        pass
    return ""


def _signed(found: Chain, one: Evidence) -> str:
    if names := found.signers(one):
        return ", ".join(names)
    return ", ".join(map(unknown, one.claims)) if one.signed else "nobody"


def _where(places: list[Place]) -> str:
    return ", ".join(place.name for place in places)


def _plan(head: Head) -> str:
    return digests.short(head.record.plan or "")


def _data(found: Chain) -> dict[str, Any]:
    return {
        "repo": str(found.repo),
        "commit": found.manifest.commit,
        "digest": found.manifest.descriptor.digest,
        "size": found.manifest.size,
        "environments": {place.name: _place(place) for place in found.places},
        "evidence": [
            {
                "digest": one.digest,
                "predicateType": one.predicate_type,
                "predicate": one.predicate,
                "signedBy": found.signers(one),
                "claims": list(one.claims),
                "carriedOut": found.carried_out(one),
                "environments": [place.name for place in places],
            }
            for one, places in found.evidence
        ],
    }


def _place(place: Place) -> Mapping[str, Any]:
    return {
        "store": place.environment.store,
        "error": place.error,
        "present": place.manifest is not None,
        "refused": place.wrong or None,
        "traffic": place.traffic,
        "steps": {
            model: [{"digest": head.digest, **_step(head)} for head in heads]
            for model, heads in place.records.items()
        },
    }


def _step(head: Head) -> dict[str, Any]:
    record = head.record
    names = ("commit", "previous", "by", "at", "why", "plan", "hold")
    told = {name: getattr(record, name) for name in names}
    return {**told, "evidence": list(record.evidence)}
