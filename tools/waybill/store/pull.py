"""Pulling: a verified download of one revision from a store into a directory."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from waybill import digest as digests
from waybill.errors import BadValue, MediaFull, UnsafePath
from waybill.manifest import File, Manifest
from waybill.store.base import Advance, no_progress
from waybill.store.locks import held
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

DRAFTS = ".waybill-pull"
"""Folder below the output for files that are not finished."""
_FILES_AT_ONCE = 4


@dataclass(frozen=True)
class Pulled:
    """How many files were fetched, and how many were there with the right digest."""

    fetched: int
    kept: int
    bytes: int


def pull(store: Store, manifest: Manifest, out: Path, advance: Advance = no_progress) -> Pulled:
    """Write the revision's files below `out`; a file appears once its digest was checked.

    Files that are there already with the right digest stay. Raises MediaFull, UnsafePath
    when a folder on the way is a link, BadValue when `out` cannot be written, Corrupt,
    BlobMissing, StoreUnreachable.
    """
    stoppable = Stoppable(advance)

    def one(file: File) -> bool:
        with _errors(out):
            return _pull_file(store, file, out, stoppable)

    with _alone(out):
        fetched = parallel(one, manifest.files, _FILES_AT_ONCE, stoppable.stop)
    size = sum(file.size for file, new in zip(manifest.files, fetched, strict=True) if new)
    return Pulled(sum(fetched), len(fetched) - sum(fetched), size)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Wait for another pull into `out` to end; then what it left unfinished is nobody's."""
    with _errors(out):
        lock = _place(out, DRAFTS + ".lock")
        with held(lock, wait=True):
            drafts = _place(out, f"{DRAFTS}/x").parent
            _clear(drafts)
            try:
                yield
            finally:
                _clear(drafts)
                drafts.rmdir()


def _clear(drafts: Path) -> None:
    for left in drafts.iterdir():
        left.unlink()


def _pull_file(store: Store, file: File, out: Path, advance: Advance) -> bool:
    """Whether the file had to be fetched."""
    path = _place(out, file.path)
    if _is_there(path, file, advance):
        return False
    draft = out / DRAFTS / secrets.token_hex(8)
    with store.open(file.descriptor) as stream, draft.open("xb") as target:
        what = f"{file.path} from {store.url}"
        for chunk in digests.verified(stream, file.digest, file.size, what):
            target.write(chunk)
            advance(len(chunk))
        target.flush()
        os.fsync(target.fileno())
    draft.replace(path)
    return True


def _is_there(path: Path, file: File, advance: Advance) -> bool:
    """Read what has the right size; it counts as done only when it is right."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size:
        return False
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in digests.chunks(stream):
            sha.update(chunk)
            advance(0)
    there = digests.from_hex(sha.hexdigest()) == file.digest
    advance(file.size if there else 0)
    return there


def _place(out: Path, relative: str) -> Path:
    """The file's path with its folders made, none of them a link that leads elsewhere."""
    path = out / relative
    for parent in reversed(path.relative_to(out).parents[:-1]):
        if (out / parent).is_symlink():
            raise UnsafePath(path=str(parent), where=str(out), why="it is a link")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise MediaFull(where=out, needed="more room", free="none") from error
        raise BadValue(what="output", value=str(out), why=str(error)) from error
