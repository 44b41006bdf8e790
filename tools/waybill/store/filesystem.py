"""A store in a directory: atomic by temporary file, fsync and rename; compare-and-swap by flock.

A blob is visible under its key only after its bytes were checked, so every blob that is
present is also checked. Unfinished uploads lie in uploads/ and are taken up by the next try.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from waybill import digest as digests
from waybill.errors import (
    AccessDenied,
    Corrupt,
    NotAStore,
    PruneHeldUp,
    StoreFull,
    StoreUnreachable,
    WaybillError,
)
from waybill.manifest import Descriptor
from waybill.store import layout
from waybill.store.base import FULL, Advance, Backend, Content, Limited, Stat, again
from waybill.store.locks import same_file

_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class FilesystemBackend:
    """Keys are paths below `root`. Many processes may share one root, also over NFS v4."""

    in_place = False

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = self.place = self.root.as_uri()

    def loading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stat(self, key: str) -> Stat | None:
        with self.errors():
            try:
                found = self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            return Stat(key, found.st_size, modified=found.st_mtime)

    def read(self, key: str) -> bytes | None:
        with self.errors():
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def open(self, key: str, offset: int, length: int) -> IO[bytes] | None:
        with self.errors():
            try:
                stream = self._path(key).open("rb", buffering=0)
            except (FileNotFoundError, NotADirectoryError):
                return None
            stream.seek(offset)
            return _File(self, stream, length)  # type: ignore[return-value]

    def create(self, key: str, data: bytes) -> bool:
        with self.errors(), self._written(data) as temporary:
            path = self._place(key)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            sync_directory(path.parent)
            return True

    def replace(self, key: str, data: bytes, expected: bytes | None) -> bool:
        with self.errors(), self._locked(), self._written(data) as temporary:
            if self.read(key) != expected:
                return False
            path = self._place(key)
            temporary.replace(path)
            sync_directory(path.parent)
            return True

    def upload(
        self,
        key: str,
        blob: Descriptor,
        content: Content,
        advance: Advance,
        replace: bool = False,  # noqa: ARG002 - what was checked may always take the name
    ) -> bool:
        with self.errors():
            stem = layout.UPLOADS + digests.hex_of(blob.digest)
            with self._partial(stem) as (path, partial):
                resumed = os.fstat(partial.fileno()).st_size
                try:
                    _fill(partial, blob, content, advance)
                except Corrupt:
                    partial.truncate(0)
                    if not resumed:
                        path.unlink()
                        raise
                    # What a power cut left was damaged, not the content: begin anew, once.
                    _fill(partial, blob, content, again(advance))
                target = self._place(key)
                path.replace(target)
                sync_directory(target.parent)
            return True

    def copy(
        self,
        key: str,  # noqa: ARG002
        blob: Descriptor,  # noqa: ARG002
        origin: Backend,  # noqa: ARG002
        advance: Advance,  # noqa: ARG002
    ) -> bool:
        return False

    @contextmanager
    def _partial(self, stem: str) -> Iterator[tuple[Path, IO[bytes]]]:
        """An upload that a dead writer left, or a new one; locked while we write to it."""
        directory, name = self._place(stem).parent, Path(stem).name
        while True:
            for path in [*sorted(directory.glob(name + "-*")), directory / _unused(name)]:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                with os.fdopen(descriptor, "r+b") as stream:
                    # Another writer may have taken even the new one, before it was locked.
                    if _try_lock(stream) and same_file(stream, path):
                        yield path, stream
                        return

    def delete(self, key: str, until: float) -> bool:
        path = self._path(key)
        with self.errors(), self._locked() as lock:
            try:
                with path.open("rb") as stream:
                    if not _try_lock(stream):
                        return False
                    if _touch(lock) > until:
                        raise PruneHeldUp(url=self.url)
                    path.unlink()
            except FileNotFoundError:
                return True
            # What is deleted first must not come back without what is deleted after it.
            sync_directory(path.parent)
            return True

    def now(self) -> float:
        """By the clock of the file server, where the directory lies on one.

        A deletion that began before is over then, however long its process slept in its middle.
        """
        try:
            with self._locked() as lock:
                return _touch(lock)
        except OSError:
            # Who may not write here only looks.
            return time.time()

    def list(self, prefix: str) -> Iterator[Stat]:
        with self.errors():
            below = list(_files_below(self._path(prefix.rpartition("/")[0])))
        for key in sorted(path.relative_to(self.root).as_posix() for path in below):
            if key.startswith(prefix) and (stat := self.stat(key)):
                yield stat

    def room(self, blobs: Sequence[Descriptor]) -> int | None:
        wanted = {digests.hex_of(blob.digest) for blob in blobs}
        with self.errors():
            begun = (
                _size(path)
                for path in _files_below(self._path(layout.UPLOADS))
                if path.name.partition("-")[0] in wanted
            )
            return shutil.disk_usage(self.root).free + sum(begun)

    def probe(self) -> bool:
        """Makes the directory; flock must work there."""
        with self.errors():
            self.root.mkdir(parents=True, exist_ok=True)
            with self._locked():
                return True

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def presign(
        self,
        key: str,  # noqa: ARG002
        expires: int,  # noqa: ARG002
        headers: dict[str, str],  # noqa: ARG002
        inside: bool = False,  # noqa: ARG002
    ) -> str | None:
        return None

    def _path(self, key: str) -> Path:
        return self.root / key

    def _place(self, key: str) -> Path:
        """The path of a key, its directory made."""
        if not self.root.is_dir():
            raise NotAStore(url=self.url)
        path = self._path(key)
        _make(path.parent)
        return path

    @contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """A temporary file that holds `data`, on disk; removed if it was not moved away."""
        path = self._place(layout.UPLOADS + _unused("small"))
        try:
            with path.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        with self._place(".lock").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except WaybillError:
            raise
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull(url=self.url, why=error.strerror) from error
            if error.errno in _DENIED:
                raise AccessDenied(url=self.url, why=str(error)) from error
            raise StoreUnreachable(url=self.url, why=str(error)) from error


def _fill(partial: IO[bytes], blob: Descriptor, content: Content, advance: Advance) -> None:
    """Read what `partial` has, append the rest. Raises Corrupt unless it is the blob then."""
    partial.seek(0)
    sha, done = hashlib.sha256(), 0
    for chunk in digests.chunks(partial):
        sha.update(chunk)
        done += len(chunk)
        advance(0)
    # In one count, as what was there already: a limit of the rate is not for it.
    advance(done)
    with content.open(done, max(0, blob.size - done)) as stream:
        for chunk in digests.chunks(stream):
            partial.write(chunk)
            sha.update(chunk)
            done += len(chunk)
            advance(len(chunk))
    partial.flush()
    os.fsync(partial.fileno())
    found = digests.from_hex(sha.hexdigest())
    digests.check(blob.digest, blob.size, found, done, f"the content of {blob.digest}")


class _File(Limited):
    """The bytes of a stored object; an error of the disk is one of the store."""

    def __init__(self, place: FilesystemBackend, stream: IO[bytes], length: int) -> None:
        super().__init__(stream, length)
        self._place = place

    def read(self, size: int = -1) -> bytes:
        with self._place.errors():
            return super().read(size)


def _files_below(directory: Path) -> Iterator[Path]:
    """None when the directory is missing; what cannot be read is an error, not left out."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            yield from _files_below(Path(entry))
        else:
            yield Path(entry)


def _size(path: Path) -> int:
    """Nothing for a file that another writer has moved away meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _unused(name: str) -> str:
    return f"{name}-{secrets.token_hex(8)}"


def _touch(stream: IO[bytes]) -> float:
    """Now, as the clock says that dates files here."""
    os.utime(stream.fileno())
    return os.fstat(stream.fileno()).st_mtime


def _try_lock(stream: IO[bytes]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make(directory: Path) -> None:
    """Make a directory and what is missing above it, on disk."""
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Returns when a power cut loses no name that was made or changed there."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
