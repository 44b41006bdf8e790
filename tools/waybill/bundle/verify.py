"""Verifying a bundle on its media: every byte of every copy of a part that is there, read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from waybill import digest as digests
from waybill.bundle.format import Part
from waybill.bundle.lanes import HASHES, FileHash, Lanes
from waybill.bundle.media import Bundle, check, opened
from waybill.digest import Digest
from waybill.errors import Corrupt, Interrupted, WaybillError
from waybill.store.base import Advance, no_progress


@dataclass
class Findings:
    """`good` parts, of which no copy is wrong, and their `bytes`; `wrong`: path -> its error.

    `missing`: numbers of parts on none of the media.
    """

    good: int = 0
    bytes: int = 0
    missing: list[int] = field(default_factory=list)
    wrong: dict[str, WaybillError] = field(default_factory=dict)


def to_read(bundle: Bundle) -> int:
    """Bytes that `verify` reads."""
    return sum(part.size * len(bundle.copies(part)) for part in bundle.index.parts)


def verify(bundle: Bundle, advance: Advance = no_progress) -> Findings:
    """Check sizes, members, parts' digests and files' digests; go on after a bad part."""
    findings, look = Findings(), _Check(bundle, advance)
    for part in bundle.index.parts:
        copies = bundle.copies(part)
        wrong = {str(path): error for path in copies if (error := look.copy(part, path))}
        findings.wrong |= wrong
        if not copies:
            findings.missing.append(part.number)
        elif not wrong:
            findings.good += 1
            findings.bytes += part.size
    return findings


class _Check:
    def __init__(self, bundle: Bundle, advance: Advance) -> None:
        self._bundle, self._advance = bundle, advance
        self._open: dict[Digest, FileHash] = {}
        self._room = HASHES

    def copy(self, part: Part, path: Path) -> WaybillError | None:
        """What is wrong with it, naming the file when one can be named."""
        try:
            check(part, path)
            self._copy(part, path)
        except Interrupted:
            raise
        except WaybillError as error:
            # Parts with the rest of its files are not to blame.
            for extent in part.extents:
                self._open.pop(extent.blob, None)
            return error
        return None

    def _copy(self, part: Part, path: Path) -> None:
        sha = hashlib.sha256()
        with Lanes(3) as lanes:
            for chunk, known in self._chunks(part, path):
                lanes.run((sha.update, chunk), *(known.jobs(chunk) if known else []))
                self._advance(len(chunk))
                if len(self._open) >= self._room:
                    lanes.drain()
                    self._judge()
            lanes.drain()
        self._judge()
        found = digests.from_hex(sha.hexdigest())
        digests.check(part.digest, part.size, found, part.size, str(path))

    def _chunks(self, part: Part, path: Path) -> Iterator[tuple[bytes, FileHash | None]]:
        """All bytes of a part in order; those of a file with the hash they belong to."""
        end = 0
        for extent in part.extents:
            yield from ((one, None) for one in self._read(path, end, extent.at - end))
            end = extent.at + extent.length
            known = self._hash(extent.blob, extent.offset)
            yield from ((one, known) for one in self._read(path, extent.at, extent.length))
        yield from ((one, None) for one in self._read(path, end, part.size - end))

    def _read(self, path: Path, offset: int, length: int) -> Iterator[bytes]:
        with opened(path, offset, length) as stream:
            yield from digests.chunks(stream)

    def _hash(self, blob: Digest, offset: int) -> FileHash | None:
        """None for an extent whose earlier parts were not read, or a second copy of a file."""
        facts = self._bundle.index.blobs[blob]
        if offset == 0:
            self._open[blob] = FileHash(facts.size, with_pieces=bool(facts.pieces))
        known = self._open.get(blob)
        return known if known and known.seen == offset else None

    def _judge(self) -> None:
        """Those that are whole. What stays goes on in a part that comes later, or is missing."""
        for digest in [digest for digest, one in self._open.items() if one.is_whole]:
            self._blob(digest, self._open.pop(digest))
        self._room = len(self._open) + HASHES

    def _blob(self, digest: Digest, known: FileHash) -> None:
        blob = self._bundle.index.blobs[digest]
        what = self._bundle.content(digest).title
        digests.check(digest, blob.size, known.digest, known.size, what)
        if known.pieces != blob.pieces:
            raise Corrupt(what=what, expected="the index's pieces", found="others")
