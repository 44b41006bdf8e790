"""What the other side has already: a bundle that was sent, a store, or the inventory of one.

An inventory is what crosses the gap backwards where anything may: a list of digests, no content.

    {"format": 1, "of": "s3://models", "files": {"sha256:…": {"size": 5, "gitOid": null}}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from waybill.bundle.format import Elsewhere
from waybill.bundle.journal import Finished
from waybill.bundle.lanes import FileHash, Lanes
from waybill.bundle.media import Bundle
from waybill.bundle.schema import COUNT, DIGEST, GIT_OID, closed
from waybill.bundle.upstream import finished
from waybill.digest import CHUNK, Digest
from waybill.errors import BadFile, SourceChanged
from waybill.manifest import File, canonical, from_json
from waybill.source.base import Source, SourceFile
from waybill.store import layout
from waybill.store.audit import inventory
from waybill.store.base import Advance, no_progress
from waybill.store.store import Store

FORMAT = 1
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill inventory",
    **closed(
        format={"const": FORMAT},
        of={"type": "string"},
        files={
            "type": "object",
            "propertyNames": DIGEST,
            "additionalProperties": closed(size=COUNT, gitOid=GIT_OID),
        },
    ),
}


@dataclass(frozen=True)
class Base:
    """Contents that need not be sent. `git_oids` are those of small text files, else None."""

    name: str
    sizes: Mapping[Digest, int]
    git_oids: Mapping[Digest, str | None]

    @classmethod
    def of(cls, name: str, files: Iterable[File]) -> Base:
        known = list(files)
        sizes = {file.digest: file.size for file in known}
        return cls(name, sizes, {file.digest: file.git_oid for file in known})

    @classmethod
    def of_bundle(cls, folders: Sequence[Path]) -> Base:
        """What is there once a bundle was sideloaded. Raises NotABundle, BadFile."""
        index = Bundle.open(folders).index
        name = ", ".join(index.titles)
        known = cls.of(name, (file for one in index.revisions for file in one.manifest.files))
        if index.stack is None:
            return known
        images = index.stack.contents
        oids = {**dict.fromkeys(images), **known.git_oids}
        return cls(name, {**images, **known.sizes}, oids)

    @classmethod
    def of_store(cls, store: Store) -> Base:
        """What its revisions name and it has; damaged ones count for nothing. Raises NotAStore."""
        manifests = inventory(store).manifests.values()
        there = {stat.key: stat.size for stat in store.backend.list(layout.BLOBS)}
        files = (file for one in manifests for file in one.files)
        held = (file for file in files if there.get(layout.blob(file.digest)) == file.size)
        return cls.of(store.url, held)

    @classmethod
    def load(cls, path: Path) -> Base:
        """An inventory. Raises BadFile."""
        try:
            value = from_json(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise BadFile(path=path, why=f"it is no inventory ({error})") from error
        if wrong := best_match(Draft202012Validator(SCHEMA).iter_errors(value)):
            raise BadFile(path=path, why=f"{wrong.json_path}: {wrong.message[:200]}")
        files = {Digest(digest): file for digest, file in value["files"].items()}
        return cls(
            value["of"],
            {digest: file["size"] for digest, file in files.items()},
            {digest: file["gitOid"] for digest, file in files.items()},
        )

    @property
    def data(self) -> bytes:
        """The inventory."""
        files = {
            digest: {"size": size, "gitOid": self.git_oids[digest]}
            for digest, size in self.sizes.items()
        }
        return canonical({"format": FORMAT, "of": self.name, "files": files})

    def suspects(self, files: Iterable[SourceFile]) -> list[SourceFile]:
        """The files that may be here by their size: no other one has to be read."""
        sizes = set(self.sizes.values())
        return [file for file in files if file.size in sizes]

    def holding(
        self, source: Source, files: Iterable[SourceFile], advance: Advance = no_progress
    ) -> dict[str, Finished]:
        """Path -> digests of each file whose content is here.

        Files that the source names no digest of are read, which `advance` is told; what that
        tells counts, whatever an inventory says. Raises SourceUnreachable, SourceChanged, Corrupt.
        """
        found = {}
        for file in self.suspects(files):
            if file.digest is None:
                one = _read(source, file, advance)
            else:
                one = Finished(file.digest, (), self.git_oids.get(file.digest))
            if self.sizes.get(one.digest) == file.size:
                found[file.path] = one
        return found

    def elsewhere(self, digests: Iterable[Digest]) -> Elsewhere:
        """What the index of a bundle says of contents that it leaves out."""
        return Elsewhere(self.name, {digest: self.sizes[digest] for digest in digests})


def digest_of(source: Source, file: SourceFile, advance: Advance = no_progress) -> Digest:
    """Read a file whole. Raises SourceUnreachable, SourceChanged, Corrupt."""
    return _read(source, file, advance).digest


def _read(source: Source, file: SourceFile, advance: Advance) -> Finished:
    known = FileHash(file.size)
    with source.open(file) as stream, Lanes(1) as lanes:
        while chunk := stream.read(CHUNK):
            lanes.run(*known.jobs(chunk))
            advance(len(chunk))
        lanes.drain()
    if known.seen != file.size or not source.is_unchanged(file):
        raise SourceChanged(path=file.path, source=source)
    return finished(source, file, known)
