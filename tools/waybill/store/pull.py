"""Pulling: files of one revision into a directory, each verified while it is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadValue, Corrupt, MediaFull, UnsafePath
from waybill.manifest import File, Manifest, git_blob_hasher
from waybill.store.base import FULL, Advance, again, no_progress
from waybill.store.locks import held
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

NOTES = ".cache/waybill"
"""Folder below the output for files that are not finished; `waybill pack` leaves it out."""
MANIFEST = f"{NOTES}/manifest.json"
"""Kept last of all: where it is, all is, and a later pull asks nobody."""
LOCK = ".waybill-pull.lock"
_FILES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch: `open` gives its bytes from an offset on, `what` names it in messages.

    `digest` is None where only git's id of a small text file is known.
    """

    path: str
    size: int
    digest: Digest | None
    git_oid: str | None
    what: str
    open: Callable[[int], IO[bytes]]

    @property
    def draft(self) -> str:
        """Name of the unfinished file: the same in every run, another for other bytes."""
        told = f"{self.path}\0{self.size}\0{self.digest}\0{self.git_oid}"
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Got:
    """A file that is there, verified; `new`: it had to be fetched."""

    digest: Digest
    new: bool


@dataclass(frozen=True)
class Pulled:
    """How many files were fetched, and how many were there with the right digest."""

    fetched: int
    kept: int
    bytes: int

    @classmethod
    def of(cls, wanted: Sequence[Wanted], got: Sequence[Got]) -> Pulled:
        new = [file.size for file, one in zip(wanted, got, strict=True) if one.new]
        return cls(len(new), len(got) - len(new), sum(new))


def pull(store: Store, manifest: Manifest, out: Path, advance: Advance = no_progress) -> Pulled:
    """Write the revision's files below `out`; a file appears once its digest was checked.

    Files that are there already with the right digest stay. Raises MediaFull, UnsafePath
    when a folder on the way is a link, BadValue when `out` cannot be written, Corrupt,
    BlobMissing, StoreUnreachable.
    """

    def opener(file: File) -> Callable[[int], IO[bytes]]:
        return lambda offset: store.open(file.descriptor, offset)

    wanted = [
        Wanted(
            file.path, file.size, file.digest, None, f"{file.path} from {store.url}", opener(file)
        )
        for file in manifest.files
    ]
    with alone(out):
        got = fetch(wanted, out, advance)
        keep(out, manifest)
    return Pulled.of(wanted, got)


def keep(out: Path, manifest: Manifest) -> None:
    """Call it within `alone`, when all its files are there."""
    path = place(out, MANIFEST)
    draft = path.with_suffix(f".{os.getpid()}")
    with draft.open("wb") as target:
        target.write(manifest.data)
        target.flush()
        os.fsync(target.fileno())
    draft.replace(path)


def fetch(wanted: Sequence[Wanted], out: Path, advance: Advance = no_progress) -> list[Got]:
    """All of the files, several at once; goes on where an earlier run stopped within a file.

    Call it within `alone`. Raises as `pull` does, and what opening or reading raises.
    """
    stoppable = Stoppable(advance)

    def one(file: Wanted) -> Got:
        with _errors(out):
            return _get(file, out, stoppable)

    _clear(out, keep={file.draft for file in wanted})
    got = parallel(one, wanted, _FILES_AT_ONCE, stoppable.stop)
    _clear(out)
    return got


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Wait for another pull into `out` to end.

    The lock saves work and is not what keeps the bytes right: where a shared volume has no
    locks, two runs write the same bytes to the same places.
    """
    with _errors(out), held(place(out, LOCK), wait=True):
        yield


def place(out: Path, relative: str) -> Path:
    """The file's path with its folders made, none of them a link that leads elsewhere."""
    path = out / relative
    for parent in reversed(path.relative_to(out).parents[:-1]):
        if (out / parent).is_symlink():
            raise UnsafePath(path=str(parent), where=str(out), why="it is a link")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _clear(out: Path, keep: set[str] | None = None) -> None:
    """Remove what is unfinished, except `keep`; without one, the folder too."""
    with _errors(out):
        notes = place(out, f"{NOTES}/x").parent
        for left in notes.iterdir():
            if len(left.name) == 64 and left.name not in (keep or ()):
                left.unlink(missing_ok=True)
    if keep is None:
        with suppress(OSError):
            notes.rmdir()
            notes.parent.rmdir()


def _get(file: Wanted, out: Path, advance: Advance) -> Got:
    path = place(out, file.path)
    if digest := _there(path, file, advance):
        return Got(digest, new=False)
    draft = place(out, f"{NOTES}/{file.draft}")
    digest = _complete(file, draft, advance)
    # It may be of another revision, of which from now on not all is here.
    place(out, MANIFEST).unlink(missing_ok=True)
    try:
        draft.replace(path)
    except FileNotFoundError:
        # Another run, which a volume without locks let in, was as far a moment before us.
        if not _there(path, file, again(advance)):
            raise
    return Got(digest, new=True)


def _complete(file: Wanted, draft: Path, advance: Advance) -> Digest:
    """The digest of the draft once it is whole and right. Raises Corrupt."""
    begun = draft.is_file()
    try:
        return _write(file, draft, advance)
    except Corrupt:
        draft.unlink(missing_ok=True)
        if not begun:
            raise
    # It may have been the beginning that was wrong: a power cut leaves holes.
    return _write(file, draft, again(advance))


def _write(file: Wanted, draft: Path, advance: Advance) -> Digest:
    check = _Check(file)
    with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b") as target:
        for chunk in digests.chunks(target):
            check.update(chunk)
            advance(len(chunk))
        if check.count < file.size:
            with file.open(check.count) as stream:
                for chunk in digests.chunks(stream):
                    check.update(chunk)
                    target.write(chunk)
                    advance(len(chunk))
        target.flush()
        os.fsync(target.fileno())
    return check.finish()


class _Check:
    """Counts and digests a file's bytes as they come."""

    def __init__(self, file: Wanted) -> None:
        self._file, self.count = file, 0
        self._sha, self._git = hashlib.sha256(), git_blob_hasher(file.size)

    def update(self, chunk: bytes) -> None:
        self.count += len(chunk)
        self._sha.update(chunk)
        if self._file.git_oid:
            self._git.update(chunk)

    def finish(self) -> Digest:
        """Raises Corrupt unless size, digest and git's id are those that are wanted."""
        file, found = self._file, digests.from_hex(self._sha.hexdigest())
        digests.check(file.digest or found, file.size, found, self.count, file.what)
        if file.git_oid and file.git_oid != self._git.hexdigest():
            raise Corrupt(what=file.what, expected=file.git_oid, found=self._git.hexdigest())
        return found


def _there(path: Path, file: Wanted, advance: Advance) -> Digest | None:
    """Read what has the right size; it counts as done only when it is right."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size:
        return None
    check = _Check(file)
    with path.open("rb") as stream:
        for chunk in digests.chunks(stream):
            check.update(chunk)
            advance(0)
    try:
        digest = check.finish()
    except Corrupt:
        return None
    advance(file.size)
    return digest


@contextmanager
def _errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise MediaFull(where=out, needed="more room", free="none") from error
        raise BadValue(what="output", value=str(out), why=str(error)) from error
