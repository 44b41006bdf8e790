"""Records: the steps of a ref's history, each an immutable blob that names the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadValue
from waybill.manifest import canonical, from_json
from waybill.store import layout
from waybill.store.layout import Ref, RepoId

RECORD_TYPE = "application/vnd.waybill.record.v1+json"


@dataclass(frozen=True)
class Record:
    """One step of a ref's history; `previous` is the digest of the record before it.

    `hold`: nothing is promoted to this ref until a later record says otherwise. It stands here
    because what puts it on, a rollback, moves the ref: both are seen at once or not at all.
    """

    repo: str
    ref: str
    commit: str
    previous: str | None
    by: str
    at: str
    why: str
    plan: str | None = None
    evidence: tuple[str, ...] = ()
    hold: bool = False

    @property
    def key(self) -> str:
        """Of the ref that it is a step of."""
        kind, _, name = self.ref.partition("/")
        return layout.ref(RepoId.parse(self.repo), Ref(kind, name))

    @property
    def data(self) -> bytes:
        value = {**asdict(self), "evidence": list(self.evidence)}
        if not self.hold:
            # As it was written before there were holds.
            del value["hold"]
        return canonical(value)

    @classmethod
    def parse(cls, data: bytes) -> Record:
        value = from_json(data)
        return cls(**{**value, "evidence": tuple(value["evidence"])})


@dataclass(frozen=True)
class Head:
    """What a ref holds: the digest of its newest record, and that record."""

    digest: Digest
    record: Record

    @property
    def commit(self) -> str:
        return self.record.commit


def named(head: Head) -> Iterator[Digest]:
    """What a step is told with, and its record."""
    for text in (head.record.plan or "", *head.record.evidence):
        with suppress(BadValue):
            yield digests.parse(text)
    yield head.digest
