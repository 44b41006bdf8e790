"""What is said of a revision in a store, read for people and for gates: by whom, and what.

A store is written to by many, so nothing here is believed: each statement comes with the names of
those who signed it, as the trust policy knows them, and it is up to the reader whose word counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadFile, BlobMissing, Corrupt
from waybill.manifest import STATEMENT_TYPE, Descriptor
from waybill.sign import dsse, predicates, trust
from waybill.sign.dsse import ENVELOPE_TYPE, LIMIT, Envelope
from waybill.sign.keys import Signer
from waybill.sign.predicates import Predicate
from waybill.sign.statements import Statement
from waybill.sign.trust import Policy
from waybill.store.evidence import kept
from waybill.store.layout import RepoId
from waybill.store.store import Store
from waybill.store.work import parallel


@dataclass(frozen=True)
class Evidence:
    """One statement about a revision.

    `signers` are the policy's keys that have signed it, by name; `claims` says of each signature
    whose it says it is. `digest` is that of the envelope, or of a statement nobody has signed.
    """

    predicate_type: str
    predicate: Any
    signers: tuple[str, ...]
    claims: tuple[str, ...]
    digest: Digest
    data: bytes
    """What lies in the store."""
    signed: bool

    @cached_property
    def parsed(self) -> Predicate | None:
        """As one of `waybill.sign.predicates`; None for those of others, or of a wrong shape."""
        with suppress(BadFile):
            return predicates.parse(self.predicate_type, self.predicate, self.digest)
        return None


def unknown(claim: str) -> str:
    """How people are shown whom a signature claims to be of, where no policy knows it."""
    return f"{claim} (not known)"


def names_of(signer: Signer | None, policy: Policy | None) -> set[str]:
    """What the policy calls the key; more than one where it names it twice."""
    if signer is None or policy is None:
        return set()
    return set(policy.signers(Envelope.parse(dsse.sign(b"{}", signer), "a test"), None))


def gather(
    store: Store, repo: RepoId, commit: str, policy: Policy | None, at: datetime | None = None
) -> list[Evidence]:
    """All that can be read, in order of its digest; the same said unsigned is left out.

    `at`: when certificates have to be good; None asks whether they were when they began. What is
    damaged, too large, or about another revision is passed over. Raises RepoNotFound,
    RevisionNotFound; TooMuchSaid where not all of it is read, so that no gate goes by a part.
    """
    return statements(
        store, repo, commit, store.manifest(repo, commit).descriptor.digest, policy, at
    )


def statements(
    store: Store,
    repo: RepoId,
    commit: str,
    subject: Digest,
    policy: Policy | None,
    at: datetime | None = None,
) -> list[Evidence]:
    """As `gather`, also while the revision is on its way; `subject` is its manifest's digest."""
    blobs = kept(store, repo, commit)
    signed, said = (_read(store, blobs, kind) for kind in (ENVELOPE_TYPE, STATEMENT_TYPE))
    found = [one for data in signed for one in envelope(data, subject, policy, at)]
    known = {digests.of(Envelope.parse(one.data, one.digest).payload) for one in found}
    found += [one for data in said if digests.of(data) not in known for one in _said(data, subject)]
    return sorted(found, key=lambda one: one.digest)


def _read(store: Store, blobs: Sequence[Descriptor], media_type: str) -> list[bytes]:
    def read(blob: Descriptor) -> bytes | None:
        with suppress(BlobMissing, Corrupt):
            return store.read(blob.digest)
        return None

    these = [one for one in blobs if one.media_type == media_type and one.size <= LIMIT]
    return [data for data in parallel(read, these) if data is not None]


def envelope(
    data: bytes, subject: Digest, policy: Policy | None, at: datetime | None = None
) -> Iterator[Evidence]:
    """The statement that is signed there; none where it is about another subject, or damaged."""
    digest = digests.of(data)
    with suppress(BadFile):
        found = Envelope.parse(data, digest)
        statement = Statement.parse(found.payload, digest)
        if statement.subjects == {subject}:
            signers = policy.signers(found, at) if policy else ()
            claims = tuple(map(trust.who, found.signatures))
            yield Evidence(
                statement.predicate_type, statement.predicate, signers, claims, digest, data, True
            )


def _said(data: bytes, subject: Digest) -> Iterator[Evidence]:
    digest = digests.of(data)
    with suppress(BadFile):
        statement = Statement.parse(data, digest)
        if statement.subjects == {subject}:
            yield Evidence(
                statement.predicate_type, statement.predicate, (), (), digest, data, False
            )
