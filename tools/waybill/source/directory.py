"""A local directory, a single file, or a snapshot in the Hugging Face cache."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

from waybill.digest import is_commit
from waybill.errors import SourceChanged, Unreadable, UnsafePath
from waybill.manifest import safe_path
from waybill.source.base import Origin, SourceFile
from waybill.source.card import CARD, card_license
from waybill.source.reach import Roots


class NamedFile(io.FileIO):
    """A file whose read errors are ours, and name it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size) or b""
        except OSError as error:
            raise Unreadable(path=self.name, why=error.strerror) from error


class DirectorySource:
    """Every regular file below `root`. Links count only when they stay inside.

    In the Hugging Face cache a snapshot's files are links into the `blobs` folder beside it;
    those count too, and the folder's name is the upstream commit.
    """

    local = True

    def __init__(self, root: Path, roots: Roots = Roots()) -> None:  # noqa: B008 - it is frozen
        """Raises Unreadable, and OutsideRoots for a directory that does not lie in one of these."""
        self.root, self._roots = roots.check(root).absolute(), roots
        if not stat.S_ISDIR(_stat(root).st_mode):
            raise Unreadable(path=root, why="it is not a directory")

    def __str__(self) -> str:
        return str(self.root)

    @cached_property
    def origin(self) -> Origin:
        repo, commit = self._cached_repo
        return Origin(
            source="hf-cache" if commit else "directory",
            repo=repo,
            commit=commit,
            license=card_license(self._card()),
        )

    @cached_property
    def _cached_repo(self) -> tuple[str | None, str | None]:
        snapshots, models = self.root.parent, self.root.parent.parent.name
        if snapshots.name != "snapshots" or not models.startswith("models--"):
            return None, None
        if not is_commit(self.root.name):
            return None, None
        return "/".join(models.split("--")[1:]), self.root.name

    @cached_property
    def _inside(self) -> tuple[Path, ...]:
        places = [self.root]
        blobs = self.root.parent.parent / "blobs"
        # A link in its place would lead out, to wherever who made it likes.
        if self._cached_repo[1] and not blobs.is_symlink():
            places.append(blobs)
        return tuple(path.resolve() for path in places if self._roots.allow(path))

    def _card(self) -> str:
        try:
            # A pipe of that name would keep us waiting; it is refused later.
            path = self.root / CARD
            return path.read_text("utf-8", errors="replace") if path.is_file() else ""
        except OSError:
            return ""

    def files(self) -> Sequence[SourceFile]:
        return sorted(self._walk(), key=lambda file: file.path)

    def _walk(self) -> Iterator[SourceFile]:
        for folder, folders, names in os.walk(self.root, onerror=self._fail):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in [*names, *links]:
                path = Path(folder, name)
                relative = safe_path(path.relative_to(self.root).as_posix(), str(self.root))
                yield _listed(path, relative, self._stat(path, relative), self)

    def _stat(self, path: Path, relative: str) -> os.stat_result:
        try:
            target = path.resolve(strict=True)
            facts = target.stat()
        except (OSError, RuntimeError) as error:
            # A ring of links is a RuntimeError before Python 3.13.
            why = getattr(error, "strerror", None) or str(error)
            raise Unreadable(path=path, why=why) from error
        if not any(target.is_relative_to(root) for root in self._inside):
            raise UnsafePath(path=relative, where=str(self.root), why="it is a link that leaves it")
        if not stat.S_ISREG(facts.st_mode):
            raise UnsafePath(path=relative, where=str(self.root), why="it is not a regular file")
        return facts

    def _fail(self, error: OSError) -> None:
        raise Unreadable(path=error.filename, why=error.strerror) from error

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        return _open(self.root / file.path, file, offset, self)

    def holds(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root.resolve())

    def is_unchanged(self, file: SourceFile) -> bool:
        return _is_unchanged(self.root / file.path, file)


class FileSource:
    """One file, such as a GGUF, under its own name. A link to one counts: it was named."""

    local = True

    def __init__(self, path: Path, roots: Roots = Roots()) -> None:  # noqa: B008 - it is frozen
        """Raises Unreadable, OutsideRoots."""
        self._path = roots.check(path).absolute()
        if not stat.S_ISREG(_stat(path).st_mode):
            raise Unreadable(path=path, why="it is not a regular file")

    def __str__(self) -> str:
        return str(self._path)

    origin = Origin("file")

    def files(self) -> Sequence[SourceFile]:
        facts = _stat(self._path)
        name = safe_path(self._path.name, str(self._path.parent))
        return [_listed(self._path, name, facts, self)]

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        return _open(self._path, file, offset, self)

    def holds(self, path: Path) -> bool:  # noqa: ARG002
        return False

    def is_unchanged(self, file: SourceFile) -> bool:
        return _is_unchanged(self._path, file)


def local_source(path: Path, roots: Roots) -> DirectorySource | FileSource:
    """What lies there. Raises Unreadable, OutsideRoots."""
    kind = FileSource if stat.S_ISREG(_stat(path).st_mode) else DirectorySource
    return kind(path, roots)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise Unreadable(path=path, why=error.strerror) from error


def _listed(path: Path, relative: str, facts: os.stat_result, source: object) -> SourceFile:
    """Raises UnsafePath for a file of the kernel, whose size is said to be none."""
    file = SourceFile(relative, facts.st_size, _stamp(facts))
    if not file.size:
        with _open(path, file, 0, source) as stream:
            if stream.read(1):
                why = "it has bytes, and its size is 0, as of what the kernel makes up"
                raise UnsafePath(path=relative, where=str(source), why=why)
    return file


def _open(path: Path, file: SourceFile, offset: int, source: object) -> IO[bytes]:
    """Raises SourceChanged when another file than the one that was listed is there now."""
    try:
        stream = NamedFile(path)
        stream.seek(offset)
    except FileNotFoundError as error:
        raise SourceChanged(path=file.path, source=source) from error
    except OSError as error:
        raise Unreadable(path=path, why=error.strerror) from error
    # A link that was moved meanwhile may lead where the one that was looked at did not.
    if _stamp(os.fstat(stream.fileno())) != file.stamp:
        stream.close()
        raise SourceChanged(path=file.path, source=source)
    return stream


def _is_unchanged(path: Path, file: SourceFile) -> bool:
    try:
        return _stamp(path.stat()) == file.stamp
    except OSError:
        return False


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}"
