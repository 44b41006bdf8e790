"""A local directory, or a snapshot in the Hugging Face cache."""

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

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            found = self.root.stat()
        except OSError as error:
            raise Unreadable(path=root, why=error.strerror) from error
        if not stat.S_ISDIR(found.st_mode):
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
        blobs = (self.root.parent.parent / "blobs",) if self._cached_repo[1] else ()
        return tuple(path.resolve() for path in (self.root, *blobs))

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
                facts = self._stat(path, relative)
                yield SourceFile(relative, facts.st_size, _stamp(facts))

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
        try:
            stream = NamedFile(self.root / file.path)
            stream.seek(offset)
        except FileNotFoundError as error:
            raise SourceChanged(path=file.path, source=self) from error
        except OSError as error:
            raise Unreadable(path=self.root / file.path, why=error.strerror) from error
        return stream

    def holds(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root.resolve())

    def is_unchanged(self, file: SourceFile) -> bool:
        try:
            return _stamp((self.root / file.path).stat()) == file.stamp
        except OSError:
            return False


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}"
