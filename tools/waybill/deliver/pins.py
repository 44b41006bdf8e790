"""Pins files: exactly which revision each model of an environment runs, as a Helm values fragment.

Every scalar is a quoted string: Helm reads an unquoted commit of digits alone, and a large size,
as a floating-point number. No person writes these files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import yaml

from waybill import digest as digests
from waybill import files
from waybill.digest import Digest
from waybill.errors import BadFile, StoreFull
from waybill.store.base import FULL
from waybill.store.filesystem import sync_directory

HEADER = "# Written by waybill: do not edit. `waybill pin`, `promote` and `rollback` change it.\n"
SLOTS = ("stable", "canary", "previous")

_DIGEST = "^sha256:[0-9a-f]{64}$"


def _text(title: str, pattern: str) -> dict[str, str]:
    return {"type": "string", "pattern": pattern, "title": title}


def _object(required: list[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": dict(properties),
    }


def _map(keys: dict[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": keys, "additionalProperties": dict(values)}


_COMMIT = _text("a commit of 40 hex digits", "^[0-9a-f]{40}$")
_REVISION = {
    "repo": _text("owner/name", "^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$"),
    "digest": _text("sha256: and 64 hex digits", _DIGEST),
    "size": _text("a number of bytes", "^(0|[1-9][0-9]{0,17})$"),
    "provenance": _text("sha256: and 64 hex digits, or empty", f"^$|{_DIGEST}"),
}
_SLOT = {"commit": _COMMIT, "weight": _text("a weight from 0 to 100", "^(100|[1-9]?[0-9])$")}
_PIN = _object(
    ["revisions", "traffic"],
    {
        "revisions": _map(_COMMIT, _object(list(_REVISION), _REVISION)),
        "traffic": _object(["stable"], {slot: _object(list(_SLOT), _SLOT) for slot in SLOTS}),
    },
)
_MODEL = _text("a name of at most 24 lower-case letters, digits and dashes", files.NAME)
SCHEMA = _object([], {"global": _object([], {"pins": _map(_MODEL, _PIN)})})
"""JSON Schema (2020-12) of a pins file."""


@dataclass(frozen=True)
class Revision:
    """What a pin says of a revision. `digest` is the manifest's, `size` the files' bytes.

    `provenance` is the digest of the provenance statement, or empty.
    """

    repo: str
    digest: Digest
    size: int
    provenance: str = ""

    @property
    def commit(self) -> str:
        return digests.hex_of(self.digest)[:40]

    @property
    def short(self) -> str:
        """The commit in names, and for people."""
        return digests.short_commit(self.commit)

    def as_yaml(self) -> dict[str, str]:
        return {
            "repo": self.repo,
            "digest": self.digest,
            "size": str(self.size),
            "provenance": self.provenance,
        }


@dataclass(frozen=True)
class Slot:
    """A share of the traffic: `weight` is a percentage."""

    commit: str
    weight: int


@dataclass(frozen=True)
class Pin:
    """One model's revisions by commit, and its traffic by slot (`stable` always there)."""

    revisions: Mapping[str, Revision]
    traffic: Mapping[str, Slot]

    @property
    def stable(self) -> Revision:
        return self.revisions[self.traffic["stable"].commit]

    @property
    def previous(self) -> Revision | None:
        slot = self.traffic.get("previous")
        return self.revisions[slot.commit] if slot else None

    @property
    def serving(self) -> Revision:
        """The one with most of the traffic."""
        heaviest = max(self.traffic.values(), key=lambda slot: slot.weight)
        return self.revisions[heaviest.commit]

    def as_yaml(self) -> dict[str, Any]:
        slots = {name: self.traffic[name] for name in SLOTS if name in self.traffic}
        return {
            "revisions": {key: self.revisions[key].as_yaml() for key in sorted(self.revisions)},
            "traffic": {
                name: {"commit": slot.commit, "weight": str(slot.weight)}
                for name, slot in slots.items()
            },
        }


@dataclass(frozen=True)
class Pins:
    """All pins of one environment, by model."""

    models: Mapping[str, Pin] = field(default_factory=dict)

    def with_stable(self, model: str, revision: Revision, *, gradual: bool = False) -> Pins:
        """`revision` becomes the stable one; what served until now stays beside it as `previous`.

        All traffic goes to it, or, where it comes gradually, none as yet: `weighed` moves it. A
        model whose stable revision this is already keeps its traffic as it is.
        """
        old = self.models.get(model)
        if old is None:
            pin = Pin({revision.commit: revision}, {"stable": Slot(revision.commit, 100)})
        elif old.stable.commit == revision.commit:
            pin = replace(old, revisions={**old.revisions, revision.commit: revision})
        else:
            # In the middle of a rollout, what served is not the stable one.
            before = old.stable if old.serving.commit == revision.commit else old.serving
            weight = 0 if gradual else 100
            pin = Pin(
                {revision.commit: revision, before.commit: before},
                {
                    "stable": Slot(revision.commit, weight),
                    "previous": Slot(before.commit, 100 - weight),
                },
            )
        return Pins({**self.models, model: pin})

    def weighed(self, model: str, weight: int) -> Pins:
        """The stable revision's share is `weight`, and the one before has the rest."""
        pin = self.models[model]
        traffic = {
            "stable": Slot(pin.stable.commit, weight),
            "previous": Slot(pin.traffic["previous"].commit, 100 - weight),
        }
        return Pins({**self.models, model: replace(pin, traffic=traffic)})

    @property
    def text(self) -> str:
        """The file's content: the same pins give the same bytes."""
        models = {model: self.models[model].as_yaml() for model in sorted(self.models)}
        value = {"global": {"pins": models}}
        return HEADER + yaml.safe_dump(value, default_style='"', sort_keys=False, width=1000)


def load(path: Path) -> Pins:
    """Raises BadFile. A file that is missing or empty pins nothing."""
    value = files.load(path, SCHEMA) if files.exists(path) else None
    models = ((value or {}).get("global") or {}).get("pins") or {}
    return Pins({model: _pin(path, model, given) for model, given in models.items()})


def _pin(path: Path, model: str, given: Mapping[str, Any]) -> Pin:
    revisions = {
        commit: Revision(r["repo"], digests.parse(r["digest"]), int(r["size"]), r["provenance"])
        for commit, r in given["revisions"].items()
    }
    traffic = {name: Slot(s["commit"], int(s["weight"])) for name, s in given["traffic"].items()}
    for commit, revision in revisions.items():
        if revision.commit != commit:
            raise BadFile(path=path, why=f"{model}: {commit} is not the commit of its digest")
    for name, slot in traffic.items():
        if slot.commit not in revisions:
            raise BadFile(path=path, why=f"{model}: {name} names {slot.commit}, which is not there")
    if (total := sum(slot.weight for slot in traffic.values())) != 100:
        raise BadFile(path=path, why=f"{model}: the weights add up to {total} instead of 100")
    return Pin(revisions, traffic)


def update(path: Path, change: Callable[[Pins], Pins]) -> bool:
    """Rewrite the file whole from what it holds; False when that changes nothing.

    One writer at a time on one machine. What `change` raises leaves the file as it was.
    Raises BadFile, StoreFull.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _draft(path) as (name, draft):
            text = change(load(path)).text.encode()
            if path.exists() and path.read_bytes() == text:
                return False
            draft.write(text)
            draft.flush()
            os.fsync(draft.fileno())
            name.replace(path)
            sync_directory(path.parent)
            return True
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(url=path.parent, why=error.strerror) from error
        raise BadFile(path=path, why=f"it cannot be written ({error.strerror})") from error


@contextmanager
def _draft(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The next version of the file, empty. Whoever holds its lock may write the file.

    A fixed name is lock and draft in one: what a crash leaves is taken up by the next writer.
    """
    name = path.with_name(f".{path.name}.new")
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not _is_at(stream, name):
                continue
            stream.truncate()
            try:
                yield name, stream
            finally:
                if _is_at(stream, name):
                    name.unlink()
            return


def _is_at(stream: IO[bytes], name: Path) -> bool:
    """False when the file was renamed or removed while we waited for its lock."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), name.stat())
    except FileNotFoundError:
        return False
