"""Gates that look at the model itself: what it is, who signed it, whether all of it is there."""

from __future__ import annotations

from fnmatch import fnmatchcase

from waybill.errors import BlobMissing, Corrupt, Unsigned, UntrustedSignature
from waybill.manifest import PROVENANCE
from waybill.release.evidence import Evidence
from waybill.release.gates.case import Finding, Place, Result, Subject
from waybill.release.policy import lines_of
from waybill.sign.statements import LICENSE
from waybill.store import evidence, publish
from waybill.store.work import parallel


def repo(subject: Subject) -> Finding:
    """Only repos that the policy lets in."""
    case, name = subject.case, str(subject.step.move.repo)
    if not case.rules.repos:
        return case.unasked("repos")
    allowed = any(fnmatchcase(name.lower(), pattern.lower()) for pattern in case.rules.repos)
    told = f"{name} is {'one of' if allowed else 'none of'} {', '.join(case.rules.repos)}"
    return Finding(Result.PASS if allowed else Result.FAIL, told, case.rule("repos"))


def license_(subject: Subject) -> Finding:
    """Only licenses that the policy lets in; of several that are stated, each has to be.

    Where the policy says whose word counts for what a model is, one of those has to have said it.
    """
    case = subject.case
    if not case.rules.licenses:
        return case.unasked("licenses")
    rule, allowed = case.rule("licenses"), {name.lower() for name in case.rules.licenses}
    said = [one for one in subject.evidence if one.predicate_type == LICENSE]
    stated = [licenses_of(one) for one in said]
    if not stated:
        return Finding(Result.FAIL, "nobody says its license", rule)
    if not all(stated):
        return Finding(Result.FAIL, "who says its license knows none", rule)
    others = [names for names in stated if not {name.lower() for name in names} & allowed]
    if others:
        return Finding(Result.FAIL, f"{' or '.join(others[0])} is not allowed", rule)
    signers = case.rules.signers
    if signers and not any(signers.intersection(one.signers) for one in said):
        told = f"none of {', '.join(sorted(signers))} has signed what says its license"
        return Finding(Result.FAIL, told, rule)
    return Finding(Result.PASS, f"{' and '.join(' or '.join(names) for names in stated)}", rule)


def licenses_of(one: Evidence) -> list[str]:
    """The names that a statement gives one license, that of SPDX first; case does not count."""
    said = one.predicate if isinstance(one.predicate, dict) else {}
    spdx, stated = (str(said.get(key) or "") for key in ("spdx", "license"))
    same = spdx.lower() == stated.lower()
    return [name for name in (spdx, "" if same else stated) if name]


def signature(subject: Subject) -> Finding:
    """What the target's trust policy asks for."""
    case, move = subject.case, subject.step.move
    if case.trust is None:
        return Finding(Result.SKIP, f"{case.target} has no trust policy", case.rule())
    place = _trusted_at(subject)
    if not case.trust.asks(str(move.repo)):
        return Finding(Result.SKIP, f"it asks for no signature of {move.repo}", place)
    try:
        require_signature(subject)
    except (Unsigned, UntrustedSignature) as error:
        return Finding(Result.FAIL, str(error), place)
    return Finding(Result.PASS, f"signed as {place[0]} asks", place)


def require_signature(subject: Subject) -> None:
    """Raises Unsigned, UntrustedSignature."""
    case, move = subject.case, subject.step.move
    digest, commit = move.revision.digest, move.revision.commit
    evidence.require_trust(case.trust, subject.step.source, move.repo, digest, commit, case.at)


def _trusted_at(subject: Subject) -> Place:
    path = subject.case.promotion.target.trust_path
    if path is None:
        return None, None
    lines = lines_of(path.read_bytes())
    return subject.case.named(path), lines.get(("repos",)) or lines.get(("default",))


def signer(subject: Subject) -> Finding:
    """The provenance signed by whom the policy names."""
    case, wanted = subject.case, subject.case.rules.signers
    if not wanted:
        return case.unasked("signers")
    found = subject.signed_by(wanted, PROVENANCE)
    names = sorted({name for one in found for name in one.signers if name in wanted})
    told = ", ".join(names) or f"none of {', '.join(sorted(wanted))} has signed its provenance"
    return Finding(Result.PASS if names else Result.FAIL, told, case.rule("signers"))


def contents(subject: Subject) -> Finding:
    """Every byte in the target's store, checked; `deep`: read back."""
    case, step = subject.case, subject.step
    rule, deep = case.rule("bytes"), case.rules.deep
    if not case.sent:
        what = f"{len(step.missing)} files ({step.bytes:,} bytes) are sent and "
        how = "each is read back" if deep else "each is verified"
        told = f"{what if step.missing else ''}{how} before the pins move"
        return Finding(Result.SKIP, told, rule, later=True)
    store, move = step.move.store, step.move
    try:
        manifest = publish.complete(store, move.repo, move.revision.commit)
        if deep:
            parallel(store.verify, list(manifest.blobs.values()))
    except (BlobMissing, Corrupt) as error:
        return Finding(Result.FAIL, str(error), rule)
    how = "read back" if deep else "checked"
    return Finding(Result.PASS, f"{len(manifest.blobs)} files in {store.url}, {how}", rule)
