"""Manifests: OCI image manifests of a model, canonical, with only what identifies the content.

The layout follows the OCI image manifest and the CNCF ModelPack media types: one raw,
uncompressed layer a file, its path in the annotation `org.cncf.model.filepath`. Bytes are
canonical JSON (RFC 8785), so the same files give the same digest whoever packs them.
"""

from __future__ import annotations

import hashlib
import json
import re
from codecs import iterdecode
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from itertools import chain
from math import isfinite
from typing import Any

import rfc8785

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadFile, BadValue, UnsafePath

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
FILEPATH = "org.cncf.model.filepath"
GIT_OID = "io.waybill.git.oid"
DATA_LAYER = "io.waybill.model.data"
"""Annotation of a layer that is all files of a model, as a tar archive."""
MAX_FILES = 10_000
TEXT_LIMIT = 10_000_000
"""Bytes up to which a text file is a plain git blob, not LFS (the Hugging Face rule)."""

_WEIGHTS = re.compile(r"\.(safetensors|gguf|bin|pt|pth|ckpt|h5|msgpack|ot|onnx)$")
_DOCS = re.compile(r"(^|/)(README|LICENSE|NOTICE|USE_POLICY)[^/]*$|\.(md|pdf|txt)$", re.IGNORECASE)
_MALFORMED = (
    ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, BadValue
)  # fmt: skip
_LARGEST = 2**53 - 1
"""Of the whole numbers that each fit into a double (RFC 7493)."""
_SHOWN = 30
_SLICE = 1 << 16
"""Letters of a text that are escaped at once: that takes many times their room."""
_DEPTH = 6
"""Levels that are written piece by piece: as deep as ours have many of anything. Each piece goes
through all levels above it, so that what others have nested would take them for ever."""
_LEAVES = {str, int, float, bool, type(None)}
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""What a text has where its values hold halves of surrogate pairs, or both."""
_SEGMENT = re.compile(r"[^\x00-\x1f\x7f/\\]+")


def canonical(value: object) -> bytes:
    """Canonical JSON, RFC 8785."""
    return rfc8785.dumps(value)  # type: ignore[arg-type]


def canonical_pieces(value: Any, depth: int = _DEPTH) -> Iterator[bytes]:
    """The same, piece by piece. What has `as_json` is asked for it when its turn comes, an iterator
    stands for a list, and bytes for a text in UTF-8, so that little is there in two forms."""
    if hasattr(value, "as_json"):
        value = value.as_json()
    inner = partial(canonical_pieces, depth=depth - 1)
    if depth and isinstance(value, dict) and not _LEAVES.issuperset(map(type, value.values())):
        keys = sorted(value, key=lambda key: key.encode("utf-16be"))
        members = (chain([canonical(key), b":"], inner(value[key])) for key in keys)
        yield from _joined(b"{", members, b"}")
    elif depth and isinstance(value, list | tuple | Iterator):
        yield from _joined(b"[", map(inner, value), b"]")
    elif isinstance(value, str | bytes):
        yield from chain([b'"'], (canonical(text)[1:-1] for text in _texts(value)), [b'"'])
    else:
        yield canonical(value)


def _texts(value: str | bytes) -> Iterator[str]:
    starts = range(0, len(value), _SLICE)
    if isinstance(value, bytes):
        return iterdecode((value[at : at + _SLICE] for at in starts), "utf-8")
    return (value[at : at + _SLICE] for at in starts)


def together(pieces: Iterable[bytes]) -> bytes:
    """As one. A join would keep all of them beside it."""
    whole = BytesIO()
    whole.writelines(pieces)
    return whole.getvalue()


def _joined(begin: bytes, items: Iterable[Iterable[bytes]], end: bytes) -> Iterator[bytes]:
    yield begin
    for number, item in enumerate(items):
        if number:
            yield b","
        yield from item
    yield end


def from_json(data: bytes | str, only: Container[str] | None = None) -> Any:
    """JSON that canonical JSON can say, too. Raises RecursionError, and ValueError also for what
    others read as something else (RFC 7493): some numbers, keys given twice, and halves of
    surrogate pairs. Keys of objects that are not among `only` are left out."""
    if isinstance(data, bytes):
        text = data.decode(json.detect_encoding(data), "surrogatepass")
    else:
        text = data
    value = json.loads(
        text,
        parse_int=_whole,
        parse_float=_finite,
        parse_constant=_finite,
        object_pairs_hook=_once_each if only is None else partial(_these, only),
    )
    if _HALF.search(text):
        try:
            json.dumps(json.loads(text), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            # Its own error would show the whole text.
            raise ValueError("it holds half of a surrogate pair, which is no character") from None
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice[:_SHOWN]!a} is given twice")
    return value


def _these(keys: Container[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in _once_each(pairs).items() if key in keys}


def _whole(text: str) -> float:
    if abs(value := int(text)) <= _LARGEST:
        return value
    # So a float of that size is written.
    if isfinite(found := float(text)) and canonical(found) == text.encode():
        return found
    raise ValueError(f"{text[:_SHOWN]} is a larger whole number than every reader keeps")


def _finite(text: str) -> float:
    if not isfinite(value := float(text)):
        raise ValueError(f"{text[:_SHOWN]} is no number that JSON knows")
    return value


def safe_path(path: str, where: str) -> str:
    """Return `path` if it stays below any directory it is joined to; else raise UnsafePath."""
    segments = path.split("/")
    if path.startswith("/") or not path:
        raise UnsafePath(path=path, where=where, why="it is not a relative path")
    if any(part in (".", "..") or not _SEGMENT.fullmatch(part) for part in segments):
        raise UnsafePath(path=path, where=where, why="a part of it is empty, '..' or not printable")
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        raise UnsafePath(path=path, where=where, why="its name is not UTF-8")
    if len(path.encode()) > 1024 or any(len(part.encode()) > 240 for part in segments):
        raise UnsafePath(path=path, where=where, why="it is longer than file systems allow")
    return path


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI descriptor: what a blob is, its digest and its size in bytes."""

    media_type: str
    digest: Digest
    size: int

    def as_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @property
    def data(self) -> bytes:
        return canonical(self.as_json())

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Descriptor:
        return cls(str(value["mediaType"]), digests.parse(value["digest"]), int(value["size"]))

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Descriptor:
        return cls(media_type, digests.of(data), len(data))


@dataclass(frozen=True, slots=True)
class File:
    """One file of a revision. `git_oid` is the git blob id of a small text file, else None."""

    path: str
    digest: Digest
    size: int
    git_oid: str | None = None

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)

    @property
    def media_type(self) -> str:
        return f"application/vnd.cncf.model.{_layer_kind(self.path)}.v1.raw"

    @property
    def oid(self) -> str:
        """The git object id that Hugging Face shows: of the text, or of its LFS pointer."""
        return self.git_oid or git_blob_id(self.lfs_pointer)

    @property
    def lfs_pointer(self) -> bytes:
        """The pointer file of git-lfs (its specification, version 1)."""
        oid = digests.hex_of(self.digest)
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {self.size}\n"
        ).encode()

    def as_json(self) -> dict[str, Any]:
        """The layer of a manifest."""
        oid = {GIT_OID: self.git_oid} if self.git_oid else {}
        return {**self.descriptor.as_json(), "annotations": {FILEPATH: self.path, **oid}}

    @classmethod
    def from_layer(cls, layer: Mapping[str, Any]) -> File:
        notes = layer["annotations"]
        path = safe_path(notes[FILEPATH], "the manifest")
        oid = notes.get(GIT_OID)
        if oid is not None:
            digests.parse_commit(oid)
        return cls(path, digests.parse(layer["digest"]), int(layer["size"]), oid)


@dataclass(frozen=True)
class Manifest:
    """The files of one revision, sorted by path."""

    files: tuple[File, ...]

    @classmethod
    def of(cls, files: Iterable[File]) -> Manifest:
        """Raises BadValue or UnsafePath when the files cannot stand beside each other."""
        ordered = tuple(sorted(files, key=lambda file: file.path))
        check_tree([file.path for file in ordered], "the manifest")
        _check_sizes(ordered)
        return cls(ordered)

    @cached_property
    def config(self) -> bytes:
        layers = {"type": "layers", "diffIds": [file.digest for file in self.files]}
        return canonical({"descriptor": {}, "config": {}, "modelfs": layers})

    @cached_property
    def data(self) -> bytes:
        found = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": Descriptor.of(self.config, CONFIG_TYPE),
            "layers": self.files,
        }
        return together(canonical_pieces(found))

    @cached_property
    def descriptor(self) -> Descriptor:
        return Descriptor.of(self.data, MANIFEST_TYPE)

    @property
    def commit(self) -> str:
        """The first 40 hex digits of the manifest's digest."""
        return digests.hex_of(self.descriptor.digest)[:40]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @cached_property
    def by_path(self) -> dict[str, File]:
        return {file.path: file for file in self.files}

    @cached_property
    def blobs(self) -> dict[Digest, Descriptor]:
        """Each distinct content once, in order of first use; the config and manifest not."""
        found: dict[Digest, Descriptor] = {}
        for file in self.files:
            found.setdefault(file.digest, file.descriptor)
        return found

    @classmethod
    def parse(cls, data: bytes, where: str) -> Manifest:
        """Raises BadFile when `data` is no manifest of ours, byte for byte."""
        try:
            manifest = cls.of(json.loads(data, object_hook=_file)["layers"])
            canonical_data = manifest.data
        except _MALFORMED as error:
            raise BadFile(path=where, why=f"it is not a model manifest ({error!r})") from error
        if canonical_data != data:
            raise BadFile(path=where, why="it is not a canonical model manifest")
        return manifest


def _file(value: dict[str, Any]) -> dict[str, Any] | File:
    """A layer becomes a file as soon as it is read; other objects of a manifest stay."""
    return File.from_layer(value) if "annotations" in value else value


def _layer_kind(path: str) -> str:
    if _WEIGHTS.search(path):
        return "weight"
    if path.endswith(".py"):
        return "code"
    return "doc" if _DOCS.search(path) and path != "vocab.txt" else "weight.config"


def check_tree(paths: Sequence[str], where: str) -> None:
    """Raises BadValue, UnsafePath for paths that no model can have together."""
    if not 0 < len(paths) <= MAX_FILES:
        why = f"1 to {MAX_FILES:,} fit into a model"
        raise BadValue(what="number of files", value=len(paths), why=why)
    known: set[str] = set()
    for path in paths:
        safe_path(path, where)
        if path in known:
            raise UnsafePath(path=path, where=where, why="it stands there twice")
        known.add(path)
    for path in paths:
        if any(path[:at] in known for at, letter in enumerate(path) if letter == "/"):
            raise UnsafePath(path=path, where=where, why="a folder of it is also a file")


def _check_sizes(files: tuple[File, ...]) -> None:
    sizes: dict[Digest, int] = {}
    for file in files:
        if file.size < 0 or sizes.setdefault(file.digest, file.size) != file.size:
            raise BadValue(what="size", value=file.size, why=f"{file.path} cannot have it")


def git_blob_id(data: bytes) -> str:
    """Git's object id of a blob."""
    return git_blob_hasher(len(data), data).hexdigest()


def git_blob_hasher(size: int, data: bytes = b"") -> hashlib._Hash:
    return hashlib.sha1(b"blob %d\0" % size + data, usedforsecurity=False)


def statement(manifest: Manifest, predicate_type: str, predicate: Any) -> bytes:
    """An in-toto statement (v1) about the manifest digest: what the predicate says is so of it."""
    return statement_of(manifest.descriptor.digest, predicate_type, predicate)


def statement_of(digest: Digest, predicate_type: str, predicate: Any) -> bytes:
    """As `statement`, where only the manifest's digest is at hand."""
    found = digests.hex_of(digest)
    said = {
        "_type": STATEMENT,
        "subject": [{"name": found[:40], "digest": {"sha256": found}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return together(canonical_pieces(said))


def provenance(manifest: Manifest, facts: Mapping[str, Any], tool: str) -> bytes:
    """A statement with SLSA provenance (v1).

    `facts` says where the files came from: source, repo, commit, license, what was dropped.
    """
    predicate = {
        "buildDefinition": {
            "buildType": "https://waybill.dev/pack/v1",
            "externalParameters": dict(facts),
        },
        "runDetails": {"builder": {"id": tool}},
    }
    return statement(manifest, PROVENANCE, predicate)
