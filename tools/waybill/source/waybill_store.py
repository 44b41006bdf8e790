"""A revision in another Waybill store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

from waybill.manifest import Manifest
from waybill.source.base import Origin, SourceFile
from waybill.source.card import license_of
from waybill.store import evidence, layout
from waybill.store.layout import RepoId
from waybill.store.store import Store


class StoreSource:
    """`store+s3://bucket/prefix#owner/name@revision`. The branch or tag is resolved once.

    What was packed from upstream and goes on from here keeps the upstream commit as its alias, and
    the signatures that it has here.
    """

    def __init__(self, store: Store, repo: RepoId, revision: str) -> None:
        self._store, self._repo, self._revision = store, repo, revision

    def __str__(self) -> str:
        return f"{self._store.url}#{self._repo}@{self._revision}"

    @cached_property
    def _commit(self) -> str:
        return self._store.resolve(self._repo, self._revision)

    @cached_property
    def _manifest(self) -> Manifest:
        return self._store.manifest(self._repo, self._commit)

    @cached_property
    def origin(self) -> Origin:
        upstream = (theirs for theirs, ours in self._aliases.items() if ours == self._commit)
        commit = next(upstream, self._commit)
        signed = tuple(evidence.envelopes(self._store, self._repo, self._commit))
        return Origin(self._store.url, str(self._repo), commit, license_of(self), signed)

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return self._store.aliases(self._repo)

    def files(self) -> Sequence[SourceFile]:
        return [
            SourceFile(file.path, file.size, file.digest, file.digest, file.git_oid)
            for file in self._manifest.files
        ]

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        """Errors are those of the store, which waits for its server by itself."""
        return self._store.open(self._manifest.by_path[file.path].descriptor, offset)

    def is_unchanged(self, file: SourceFile) -> bool:  # noqa: ARG002
        """A revision does not change."""
        return True

    def holds(self, path: Path) -> bool:
        """A directory store is no place for a bundle."""
        inside = self._inside
        return inside is not None and path.resolve().is_relative_to(inside.parent.resolve())

    @property
    def local(self) -> bool:
        return self._inside is not None

    @property
    def _inside(self) -> Path | None:
        """A file of the store, where it is a directory."""
        return self._store.backend.local_path(layout.STORE)
