"""Records: the steps of a ref's history, each an immutable blob that names the one before."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from waybill.digest import Digest
from waybill.manifest import canonical
from waybill.store import layout
from waybill.store.layout import Ref, RepoId

RECORD_TYPE = "application/vnd.waybill.record.v1+json"


@dataclass(frozen=True)
class Record:
    """One step of a ref's history; `previous` is the digest of the record before it."""

    repo: str
    ref: str
    commit: str
    previous: str | None
    by: str
    at: str
    why: str
    plan: str | None = None
    evidence: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Of the ref that it is a step of."""
        kind, _, name = self.ref.partition("/")
        return layout.ref(RepoId.parse(self.repo), Ref(kind, name))

    @property
    def data(self) -> bytes:
        return canonical({**asdict(self), "evidence": list(self.evidence)})

    @classmethod
    def parse(cls, data: bytes) -> Record:
        value = json.loads(data)
        return cls(**{**value, "evidence": tuple(value["evidence"])})


@dataclass(frozen=True)
class Head:
    """What a ref holds: the digest of its newest record, and that record."""

    digest: Digest
    record: Record

    @property
    def commit(self) -> str:
        return self.record.commit
