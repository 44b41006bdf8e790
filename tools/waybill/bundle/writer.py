"""One part file: written under a partial name, on disk before it gets its own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

from waybill import digest as digests
from waybill.bundle.blocks import BlockFile, unwritten
from waybill.bundle.cut import PartPlan, Slice
from waybill.bundle.format import TAR_END, member_header, padding, part_name
from waybill.bundle.lanes import Lanes
from waybill.digest import Digest
from waybill.errors import MediaFull, Unwritable

PARTIAL = ".partial"


class PartWriter:
    """`write` and `hash` are run in lanes of their own. Raises MediaFull."""

    def __init__(self, folder: Path, plan: PartPlan) -> None:
        self._plan, self._folder = plan, folder
        self._path = folder / part_name(plan.number)
        self._partial = folder / (self._path.name + PARTIAL)
        self._sha = hashlib.sha256()

    def __enter__(self) -> PartWriter:
        try:
            self._file = BlockFile(self._partial)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def hash(self, data: bytes) -> None:
        self._sha.update(data)

    def header(self, piece: Slice, lanes: Lanes) -> None:
        self._both(member_header(piece.member, piece.length), lanes)

    def pad(self, piece: Slice, lanes: Lanes) -> None:
        self._both(bytes(padding(piece.length)), lanes)

    def _both(self, data: bytes, lanes: Lanes) -> None:
        lanes.run((self.write, data), (self.hash, data))

    def finish(self, lanes: Lanes) -> Digest:
        """End the archive; on return the part is on disk under its name."""
        self._both(bytes(TAR_END), lanes)
        lanes.drain()
        try:
            self._file.sync()
            self._partial.rename(self._path)
        except OSError as error:
            raise self._failed(error) from error
        return digests.from_hex(self._sha.hexdigest())

    def _failed(self, error: OSError) -> MediaFull | Unwritable:
        needed = f"{self._plan.size} bytes for {self._path.name}"
        return unwritten(self._path, needed, error)
