"""The state of a packing: what is finished, so that a rerun goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from waybill import digest as digests
from waybill.bundle.blocks import unwritten
from waybill.bundle.format import INDEX, Part, part_name
from waybill.digest import Digest
from waybill.errors import BadValue, BeingPacked
from waybill.manifest import canonical
from waybill.store.locks import held

JOURNAL = ".waybill-pack.json"


@dataclass(frozen=True, slots=True)
class Finished:
    """Digests of a file that is packed whole."""

    digest: Digest
    pieces: tuple[Digest, ...]
    git_oid: str | None


@dataclass
class Journal:
    """`parts`: number -> digest. Locked while open, so two runs cannot write the same parts.

    `subject` is the repo and its source; `fingerprint` tells one state of them from another.
    `ours`: what lies in the folder was left by a packing of the same subject.
    """

    path: Path
    subject: str
    fingerprint: str
    parts: dict[int, Digest] = field(default_factory=dict)
    files: dict[str, Finished] = field(default_factory=dict)
    ours: bool = False

    @property
    def folder(self) -> Path:
        return self.path.parent

    @classmethod
    @contextmanager
    def open(cls, folder: Path, subject: str, fingerprint: str) -> Iterator[Journal]:
        """The journal of the same packing in `folder`, or a new one. Raises BeingPacked, BadValue.

        When the source has changed since, nothing is finished: the packing begins anew,
        unless a whole bundle lies there already.
        """
        with ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(folder / ".waybill-pack.lock", wait=False))
            except BlockingIOError as error:
                raise BeingPacked(where=folder) from error
            except OSError as error:
                why = error.strerror or str(error)
                raise BadValue(what="--out", value=str(folder), why=why) from error
            yield cls.seen(folder, subject, fingerprint)

    @classmethod
    def seen(cls, folder: Path, subject: str, fingerprint: str) -> Journal:
        """The same without the lock, for those who write nothing."""
        # A path that is named there may be no UTF-8, and so no text in JSON.
        named = subject.encode(errors="backslashreplace").decode()
        journal = cls(folder / JOURNAL, named, fingerprint)
        journal._load()
        return journal

    def _load(self) -> None:
        try:
            value = json.loads(self.path.read_bytes())
            # Those of earlier versions have none.
            if value.pop("digest", None) not in (None, digests.of(canonical(value))):
                raise ValueError("it is damaged")
            same = value["fingerprint"] == self.fingerprint
            unfinished = value["subject"] == self.subject and not (self.folder / INDEX).exists()
            if same:
                self.parts = {int(number): Digest(one) for number, one in value["parts"].items()}
                self.files = {
                    path: Finished(Digest(digest), tuple(map(Digest, pieces)), oid)
                    for path, (digest, pieces, oid) in value["files"].items()
                }
            self.ours = same or unfinished
        except (OSError, ValueError, KeyError, TypeError):
            # Unreadable or absent: nothing is known to be finished.
            self.parts, self.files = {}, {}

    def keep_only(self, whole: Collection[str]) -> None:
        """Forget parts that are gone or cut short."""
        self.parts = {
            number: digest for number, digest in self.parts.items() if part_name(number) in whole
        }

    def adopt(self, parts: Iterable[Part], *, ours: bool) -> None:
        """Parts of a bundle that lies here are finished; `ours`: it may be added to."""
        known = {part.number: part.digest for part in parts}
        self.parts = {**known, **self.parts}
        self.ours = self.ours or (ours and (self.folder / INDEX).exists())

    def add(self, part: int, digest: Digest, files: dict[str, Finished]) -> None:
        """A part is on disk: remember it."""
        self.parts[part] = digest
        self.files.update(files)
        self.save()

    def save(self) -> None:
        value = {
            "subject": self.subject,
            "fingerprint": self.fingerprint,
            "parts": {str(number): one for number, one in self.parts.items()},
            "files": {
                path: [one.digest, list(one.pieces), one.git_oid]
                for path, one in self.files.items()
            },
        }
        write_whole(self.path, canonical({**value, "digest": digests.of(canonical(value))}))


def write_whole(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace a small file in one step, on disk when this returns.

    Raises MediaFull, Unwritable.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as stream:
            stream.writelines([data] if isinstance(data, bytes) else data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritten(path, "more", error) from error
