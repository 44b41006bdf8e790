"""Pulling a revision from a hub: patient with the hub, strict with the bytes.

The hub is asked for names, sizes and digests; the manifest is made anew from the bytes that came,
and its digest decides.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

from waybill import digest as digests
from waybill.digest import CHUNK, Digest
from waybill.errors import BadFile, OtherRevision, SourceRefused, SourceUnreachable
from waybill.manifest import File, Manifest
from waybill.source.base import SourceFile
from waybill.store.base import Advance, no_progress
from waybill.store.pull import MANIFEST, Pulled, Wanted, alone, fetch, keep

PATIENCE = 300.0
"""Seconds without a byte after which a hub is given up."""
_LONGEST_PAUSE = 15.0
_REFUSALS = 4
"""Times that a token may be refused in a row: the kubelet may just be exchanging it."""

Result = TypeVar("Result")


class Hub(Protocol):
    """One revision at a hub. Raises SourceUnreachable and SourceRefused, which are tried again."""

    @property
    def commit(self) -> str:
        """As the hub names it: of an upstream commit that was asked for, that."""

    def files(self) -> Sequence[SourceFile]: ...
    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]: ...


@dataclass(frozen=True)
class Expected:
    """What the revision must turn out to be: its digest, or at least its commit."""

    commit: str
    digest: Digest | None = None

    def fits(self, found: Digest) -> bool:
        if self.digest:
            return found == self.digest
        return digests.hex_of(found)[:40] == self.commit


def pulled_before(out: Path, expected: Expected) -> Manifest | None:
    """The manifest when `out` holds the whole revision, judged by sizes: no hub is asked."""
    try:
        data = (out / MANIFEST).read_bytes()
        if not expected.fits(digests.of(data)):
            return None
        manifest = Manifest.parse(data, str(out / MANIFEST))
        whole = all((out / file.path).stat().st_size == file.size for file in manifest.files)
    except (OSError, BadFile):
        return None
    return manifest if whole else None


@dataclass(frozen=True)
class Manner:
    """How a hub is dealt with: `tell` hears why it is waited for."""

    patience: float = PATIENCE
    advance: Advance = no_progress
    tell: Callable[[str], None] = lambda _: None


def pull_from_hub(
    source: Hub, out: Path, digest: Digest | None = None, manner: Manner | None = None
) -> tuple[Manifest, Pulled]:
    """The revision's files below `out`, then its manifest. A rerun goes on within each file.

    Raises what `waybill.store.pull.pull` does, SourceRefused, RepoNotFound, RevisionNotFound,
    OtherRevision, and SourceUnreachable once nothing has come for the manner's patience.
    """
    manner = manner or Manner()
    with alone(out):
        listed = Patience(manner).until_done(source.files)
        wanted = [_wanted(source, file, manner) for file in listed]
        got = fetch(wanted, out, manner.advance)
        manifest = Manifest.of(
            File(file.path, one.digest, file.size, file.git_oid)
            for file, one in zip(listed, got, strict=True)
        )
        _compare(source, Expected(source.commit, digest), manifest)
        keep(out, manifest)
    return manifest, Pulled.of(wanted, got)


def _wanted(source: Hub, file: SourceFile, manner: Manner) -> Wanted:
    def opener(offset: int) -> IO[bytes]:
        return io.BufferedReader(_PatientStream(source, file, offset, Patience(manner)), CHUNK)

    what = f"{file.path} from {source}"
    return Wanted(file.path, file.size, file.digest, file.git_oid, what, opener)


def _compare(source: Hub, expected: Expected, manifest: Manifest) -> None:
    found = manifest.descriptor.digest
    if not expected.fits(found):
        told = expected.digest or expected.commit
        raise OtherRevision(source=source, expected=told, found=found)


class Patience:
    """Says how long to try again: until nothing has come for some seconds."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self.progress()

    def progress(self) -> None:
        self._since, self._pause, self._refusals = time.monotonic(), 1.0, 0

    def wait(self, error: SourceUnreachable | SourceRefused) -> None:
        """Before the next try. Raises the error when there should be none."""
        self._refusals += isinstance(error, SourceRefused)
        left = self._since + self._manner.patience - time.monotonic()
        if left < self._pause or self._refusals >= _REFUSALS:
            raise error
        self._manner.tell(f"{error}; trying again for {left:.0f} s")
        until = time.monotonic() + self._pause
        while time.monotonic() < until:
            time.sleep(0.1)
            self._manner.advance(0)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def until_done(self, work: Callable[[], Result]) -> Result:
        while True:
            try:
                return work()
            except (SourceUnreachable, SourceRefused) as error:
                self.wait(error)


class _PatientStream(io.RawIOBase):
    """A file's bytes from `offset` on; after a failure it is opened again where it stopped."""

    def __init__(self, source: Hub, file: SourceFile, offset: int, patience: Patience) -> None:
        self._source, self._file, self._at = source, file, offset
        self._patience = patience
        self._stream: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._patience.until_done(lambda: self._read(len(buffer)))
        buffer[: len(data)] = data
        self._at += len(data)
        self._patience.progress()
        return len(data)

    def _read(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._source.open(self._file, self._at)
        try:
            return self._stream.read(size)
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        self.disconnect()
        super().close()
