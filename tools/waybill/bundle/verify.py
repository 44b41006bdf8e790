"""Verifying a bundle on its media: every byte of every part that is there, read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from waybill import digest as digests
from waybill.bundle.format import Part
from waybill.bundle.lanes import HASHES, FileHash, Lanes
from waybill.bundle.media import Bundle
from waybill.digest import Digest
from waybill.errors import Corrupt, Interrupted, WaybillError
from waybill.store.base import Advance, no_progress


@dataclass
class Findings:
    """`good` parts and their `bytes`; `wrong`: part name -> its error.

    `missing`: numbers of parts on none of the media.
    """

    good: int = 0
    bytes: int = 0
    missing: list[int] = field(default_factory=list)
    wrong: dict[str, WaybillError] = field(default_factory=dict)


def verify(bundle: Bundle, advance: Advance = no_progress) -> Findings:
    """Check sizes, members, parts' digests and files' digests; go on after a bad part."""
    findings, check = Findings(), _Check(bundle, advance)
    for part in bundle.index.parts:
        if bundle.path(part) is None:
            findings.missing.append(part.number)
            continue
        try:
            check.part(part)
        except Interrupted:
            raise
        except WaybillError as error:
            findings.wrong[part.name] = error
            continue
        findings.good += 1
        findings.bytes += part.size
    return findings


class _Check:
    def __init__(self, bundle: Bundle, advance: Advance) -> None:
        self._bundle, self._advance = bundle, advance
        self._open: dict[Digest, FileHash] = {}
        self._room = HASHES

    def part(self, part: Part) -> None:
        """Raises Corrupt, naming the file when one can be named."""
        try:
            self._part(part)
        except WaybillError:
            # Parts with the rest of its files are not to blame.
            for extent in part.extents:
                self._open.pop(extent.blob, None)
            raise

    def _part(self, part: Part) -> None:
        self._bundle.require([part])
        sha = hashlib.sha256()
        with Lanes(3) as lanes:
            for chunk, known in self._chunks(part):
                lanes.run((sha.update, chunk), *(known.jobs(chunk) if known else []))
                self._advance(len(chunk))
                if len(self._open) >= self._room:
                    lanes.drain()
                    self._judge()
            lanes.drain()
        self._judge()
        digests.check(
            part.digest, part.size, digests.from_hex(sha.hexdigest()), part.size, part.name
        )

    def _chunks(self, part: Part) -> Iterator[tuple[bytes, FileHash | None]]:
        """All bytes of a part in order; those of a file with the hash they belong to."""
        end = 0
        for extent in part.extents:
            yield from ((one, None) for one in self._read(part, end, extent.at - end))
            end = extent.at + extent.length
            known = self._hash(extent.blob, extent.offset)
            yield from ((one, known) for one in self._read(part, extent.at, extent.length))
        yield from ((one, None) for one in self._read(part, end, part.size - end))

    def _read(self, part: Part, offset: int, length: int) -> Iterator[bytes]:
        with self._bundle.read(part, offset, length) as stream:
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
        what = self._bundle.content(digest).name
        digests.check(digest, blob.size, known.digest, known.size, what)
        if known.pieces != blob.pieces:
            raise Corrupt(what=what, expected="the index's pieces", found="others")
