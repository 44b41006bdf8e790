"""What is said of a revision in a store: statements and signatures, found, added and judged.

Nothing is passed over for there being much of it: whoever could hide a statement behind others
could change what is decided. So all is read, the oldest first, up to a number that is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from waybill.digest import Digest
from waybill.errors import BadFile, BlobMissing, Corrupt, TooMuchSaid
from waybill.manifest import PROVENANCE, STATEMENT_TYPE, Descriptor, Manifest, provenance
from waybill.sign import dsse, trust
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.keys import Signer
from waybill.sign.statements import Statement
from waybill.sign.trust import Policy
from waybill.store.layout import RepoId
from waybill.store.publish import hold
from waybill.store.store import Store


def envelopes(store: Store, repo: RepoId, commit: str) -> Iterator[bytes]:
    """Signed statements, not looked at. What is damaged or too large is passed over.

    Raises TooMuchSaid once whoever reads them has got as many as there may be.
    """
    for number, blob in enumerate(signed(store, repo, commit)):
        if number == trust.ENVELOPES:
            raise _too_much(store, repo, commit)
        with suppress(BlobMissing, Corrupt):
            yield store.read(blob.digest)


def signed(store: Store, repo: RepoId, commit: str) -> list[Descriptor]:
    """The same before they are read, the oldest first: who packs a model signs it then."""
    named = sorted(store.said(repo, commit), key=lambda stat: (stat.modified, stat.key))
    return [
        one
        for one in store.descriptors(stat.key for stat in named)
        if one.media_type == ENVELOPE_TYPE and one.size <= dsse.LIMIT
    ]


def kept(store: Store, repo: RepoId, commit: str) -> list[Descriptor]:
    """All that is kept with a revision, signed or not. Raises TooMuchSaid before any is read."""
    named = store.said(repo, commit, trust.ENVELOPES + 1)
    if len(named) > trust.ENVELOPES:
        raise _too_much(store, repo, commit)
    return store.descriptors(stat.key for stat in named)


def _too_much(store: Store, repo: RepoId, commit: str) -> TooMuchSaid:
    return TooMuchSaid(what=f"{repo}@{commit} in {store.url}", limit=trust.ENVELOPES)


def require_trust(
    policy: Policy | None,
    store: Store,
    repo: RepoId,
    digest: Digest,
    commit: str,
    at: datetime | None,
) -> None:
    """Raises Unsigned, UntrustedSignature, TooMuchSaid unless whom the policy asks for signed it.

    `digest` is that of the manifest, and `at` the time that certificates have to be good at; None
    asks whether they were when they began.
    """
    if policy and policy.asks(str(repo)):
        policy.check(str(repo), digest, envelopes(store, repo, commit), at)


def provenances(store: Store, repo: RepoId, commit: str) -> list[Digest]:
    """The statements that say where it came from, unsigned, in order of their digests."""
    found = []
    for blob in store.referrers(repo, commit):
        if blob.media_type == STATEMENT_TYPE:
            with suppress(BadFile):
                statement = Statement.parse(store.read(blob.digest), blob.digest)
                if statement.predicate_type == PROVENANCE:
                    found.append(blob.digest)
    return sorted(found)


def sign_provenance(
    store: Store, repo: RepoId, manifest: Manifest, signer: Signer, tool: str
) -> None:
    """Sign what packing said of the revision; where it said nothing, say that it is this one."""
    known = provenances(store, repo, manifest.commit)
    statement = store.read(known[0]) if known else provenance(manifest, {"repo": str(repo)}, tool)
    add_signed(store, repo, manifest, statement, signer)


def add_signed(
    store: Store, repo: RepoId, manifest: Manifest, statement: bytes, signer: Signer
) -> None:
    """Keep a statement with the revision, as it is and signed.

    Raises BlobMissing for a revision that is not whole, BeingPruned.
    """
    said = (statement, STATEMENT_TYPE), (dsse.sign(statement, signer), ENVELOPE_TYPE)
    hold(store, repo, manifest.commit, said)
