"""Commands about bundles as they lie there: `inspect` and `verify`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from waybill.bundle.format import Revision, part_name, spans
from waybill.bundle.media import Bundle
from waybill.bundle.trusted import require_trust
from waybill.bundle.verify import to_read, verify
from waybill.cli.arguments import (
    Commands,
    add_folders,
    add_store,
    add_trust,
    open_store,
    policy_of,
)
from waybill.cli.output import Console, Report, about, counted, human, table
from waybill.errors import (
    BadFile,
    BadValue,
    PartMissing,
    Unreadable,
    Unsigned,
    WaybillError,
)
from waybill.sign import trust
from waybill.sign.dsse import Envelope
from waybill.sign.trust import Policy
from waybill.store import evidence
from waybill.store.audit import UNTRUSTED, Inventory, audit, inventory
from waybill.store.layout import RepoId
from waybill.store.store import Store

_TRUST = "verify --trust says whether it is true"


def register(commands: Commands) -> None:
    parser = commands.add_parser("inspect", help="show what a bundle holds")
    add_folders(parser)
    parser.set_defaults(run=_inspect)

    parser = commands.add_parser("verify", help="check every byte of a bundle, or of a store")
    add_folders(parser, "*")
    add_store(parser, "--store", "verify this store instead of a bundle", required=False)
    add_trust(parser)
    parser.set_defaults(run=_verify)


def _inspect(args: argparse.Namespace, _: Console) -> Report:
    bundle = Bundle.open(args.folders)
    index = bundle.index
    lines = [f"bundle.json is signed by {one} ({_TRUST})" for one in sealed_by(bundle)]
    for revision in index.revisions:
        lines.append(f"{revision.repo} at {revision.manifest.commit}")
        lines += [f"signed by {one} ({_TRUST})" for one in signers(revision)]
        facts = origin(revision)
        dropped = facts.pop("dropped", {})
        lines += [f"{name}: {value}" for name, value in facts.items() if value]
        lines += [f"dropped {path}: {why}" for path, why in dropped.items()]
        files = [(one.path, human(one.size), one.digest) for one in revision.manifest.files]
        lines += ["", table(("file", "size", "digest"), files), ""]
    if index.stack:
        found = [(one.name, human(one.size), one.descriptor.digest) for one in index.stack.images]
        lines += [table(("image", "size", "digest"), found), ""]
    if index.base:
        count = counted(len(index.base.blobs), "file")
        lines += [f"left out: {count} ({human(index.base.size)}), with {index.base.name}", ""]
    parts = [
        (part.name, human(part.size), str(bundle.path(part) or "missing")) for part in index.parts
    ]
    lines.append(table(("part", "size", "where"), parts))
    return Report("\n".join(lines), _described(bundle))


def origin(revision: Revision) -> dict[str, Any]:
    """What the provenance statement says: source, repo, commit, license, dropped."""
    for statement in revision.statements:
        match json.loads(statement):
            case {"predicate": {"buildDefinition": {"externalParameters": dict(facts)}}}:
                return facts
    return {}


def signers(revision: Revision) -> list[str]:
    """Who its signatures say that made them."""
    envelopes = [Envelope.parse(data, "bundle.json") for data in revision.signatures]
    return list(dict.fromkeys(trust.who(s) for one in envelopes for s in one.signatures))


def sealed_by(bundle: Bundle) -> list[str]:
    """As `signers`, of the whole: its models' repos, its images and charts."""
    try:
        return list(dict.fromkeys(map(trust.who, bundle.seals())))
    except (BadFile, Unreadable) as error:
        return [f"somebody who cannot be told: {error}"]


def _described(bundle: Bundle) -> dict[str, object]:
    base = bundle.index.base
    return {
        "revisions": [
            {
                "repo": str(one.repo),
                "commit": one.manifest.commit,
                "digest": one.manifest.descriptor.digest,
                "origin": origin(one),
                "signers": signers(one),
                "files": [
                    {"path": f.path, "size": f.size, "digest": f.digest} for f in one.manifest.files
                ],
            }
            for one in bundle.index.revisions
        ],
        "sealedBy": sealed_by(bundle),
        "images": [
            {"name": one.name, "size": one.size, "digest": one.descriptor.digest}
            for one in (bundle.index.stack.images if bundle.index.stack else ())
        ],
        "parts": [
            {"name": part.name, "size": part.size, "present": bundle.path(part) is not None}
            for part in bundle.index.parts
        ],
        "base": {"of": base.name, "files": len(base.blobs), "bytes": base.size} if base else None,
    }


def _verify(args: argparse.Namespace, console: Console) -> Report:
    if bool(args.store) == bool(args.folders):
        raise BadValue(what="bundle", value="", why="name the media of one, or else a --store")
    return _verify_store(args, console) if args.store else _verify_bundle(args, console)


def _verify_store(args: argparse.Namespace, console: Console) -> Report:
    store = open_store(args)
    # Another policy than the environment's lets nothing in here: it tells what it would refuse.
    policy = Policy.load(Path(args.trust)) if args.trust else policy_of(args)
    found = inventory(store)
    with console.progress("verify", found.size) as advance:
        result = audit(store, found, advance)
    untrusted = _untrusted(store, found, policy)
    files = {what: found.files(what) for what in result.wrong}
    lines = [*_damage(result.wrong, files), *untrusted]
    lines.append(
        f"{counted(result.revisions, 'revision')}, {counted(result.blobs, 'blob')} "
        f"({human(result.bytes)}), {len(result.wrong)} wrong"
        + (f", {len(untrusted)} not trusted" if policy else "")
    )
    data = {
        "revisions": result.revisions,
        "blobs": result.blobs,
        "wrong": {what: str(error) for what, error in result.wrong.items()},
        "files": {what: names for what, names in files.items() if names},
        "untrusted": untrusted,
    }
    code = 4 if result.wrong else Unsigned.exit_code if untrusted else 0
    return Report("\n".join(lines), data, exit_code=code)


def _damage(wrong: Mapping[str, WaybillError], files: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What is wrong, and which files that are, so that it is known which bundle to bring."""
    for what, error in wrong.items():
        yield about(what, error)
        yield from (f"  it is {name}" for name in files[what])


def _untrusted(store: Store, found: Inventory, policy: Policy | None) -> list[str]:
    """Why each revision that the policy refuses is refused."""
    said, at = [], trust.now()
    for (repo, commit), manifest in found.manifests.items():
        digest = manifest.descriptor.digest
        try:
            evidence.require_trust(policy, store, RepoId.parse(repo), digest, commit, at)
        except UNTRUSTED as error:
            said.append(str(error))
    return said


def _requirements(bundle: Bundle) -> Iterator[Callable[[Bundle, Policy | None], Bundle]]:
    yield require_trust
    if bundle.index.stack:
        # A bundle of models needs nothing of what reads images.
        from waybill.deliver.images import parts

        yield parts.require_trust


def _distrusted(bundle: Bundle, policy: Policy | None) -> list[str]:
    """Why the policy refuses the bundle's models, or its images."""
    said = []
    for require in _requirements(bundle):
        try:
            require(bundle, policy)
        except UNTRUSTED as error:
            said.append(str(error))
    return list(dict.fromkeys(said))


def _verify_bundle(args: argparse.Namespace, console: Console) -> Report:
    bundle, policy = Bundle.open(args.folders), policy_of(args)
    with console.progress("verify", to_read(bundle)) as advance:
        findings = verify(bundle, advance)
    lines = [about(name, error) for name, error in findings.wrong.items()]
    if findings.missing:
        lines.append(f"not on these media: {spans(findings.missing)}")
    untrusted = _distrusted(bundle, policy)
    lines += untrusted
    good, total = findings.good, len(bundle.index.parts)
    verb = "is" if total == 1 else "are"
    lines.append(f"{good} of {counted(total, 'part')} {verb} good ({human(findings.bytes)})")
    data = {
        "parts": total,
        "good": good,
        "missing": [part_name(number) for number in findings.missing],
        "wrong": {name: str(error) for name, error in findings.wrong.items()},
        "untrusted": untrusted,
    }
    missing = PartMissing.exit_code if findings.missing else 0
    code = 4 if findings.wrong else Unsigned.exit_code if untrusted else missing
    return Report("\n".join(lines), data, exit_code=code)
