"""The bundle format: version 1, and version 2 where the images of the stack are in it, too.

bundle.json     this index: canonical JSON, the same on every medium; its `digest` is that of the
                rest, so that a damaged index is not believed
bundle.sig      of bundle.json, where a key was given: the signature's bytes alone, as openssl
                reads them (Ed25519, or ECDSA P-256 with SHA-256 in DER)
bundle.crt      the signer's certificates in PEM, its own first, where there are any
SHA256SUMS      of the parts on this medium
README.txt      how to restore the files with tar, cat and sha256sum alone
part-00001.tar  plain tar; loads alone, in any order, from any number of media

A tar member is a file under `owner/name/`, or, where a file does not fit, an extent of it:
a range that starts at a multiple of 64 MiB, named with its offset in 20 digits, so that `cat`
in name order restores the file. Members are named by path, not by digest, because a header
stands before the bytes whose digest it would need: so each byte is read once.

Of blobs that were packed with a key, the index has the digests of their 64 MiB pieces, too, which
are those of their S3 parts. A bundle that is signed later gets none, as no byte is read again.

A revision comes with in-toto statements about its manifest digest, and the same ones signed, each
in a DSSE envelope: the store keeps both.

The images come after the models, in parts of their own: an OCI image layout under `images/`, the
chart under `charts/`, and the list of all that there is under `bom/`. The index has their
manifests, so that it is known from it alone what a registry lacks.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from waybill import digest as digests
from waybill.bundle.schema import MODELS, STACK
from waybill.bundle.schema import SCHEMA as SCHEMA
from waybill.bundle.stack import Stack
from waybill.digest import Digest
from waybill.errors import BadIndex, DamagedIndex
from waybill.manifest import Manifest, canonical_pieces, safe_path, together
from waybill.sign.dsse import Envelope
from waybill.sign.statements import Statement
from waybill.store.layout import RepoId

INDEX = "bundle.json"
SIGNATURE = "bundle.sig"
CERTIFICATES = "bundle.crt"
SUMS = "SHA256SUMS"
README = "README.txt"
BLOCK = 512
TAR_END = 2 * BLOCK


def part_name(number: int) -> str:
    """Name of a part; numbers count from 1."""
    return f"part-{number:05}.tar"


def spans(numbers: Sequence[int]) -> str:
    """Names of parts, runs as `first to last`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join(" to ".join(part_name(number) for number in run) for run in runs)


def member_header(name: str, length: int) -> bytes:
    """The tar header (POSIX pax) of a member, the same for everybody at any time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = length, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(length: int) -> int:
    """Zero bytes that follow `length` bytes of data, up to a whole block."""
    return -length % BLOCK


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes of a blob from `offset`, at byte `at` of a part, under a member's name."""

    member: str
    blob: Digest
    offset: int
    length: int
    at: int

    @property
    def header(self) -> bytes:
        return member_header(self.member, self.length)

    def as_json(self) -> dict[str, Any]:
        return {
            "member": self.member,
            "blob": self.blob,
            "offset": self.offset,
            "length": self.length,
            "at": self.at,
        }


@dataclass(frozen=True)
class Part:
    """One tar file."""

    number: int
    size: int
    digest: Digest
    extents: tuple[Extent, ...] = field(hash=False)
    """Left out of the hash, which is asked for once for each blob: a part may hold thousands."""

    @property
    def name(self) -> str:
        return part_name(self.number)

    def as_json(self) -> dict[str, Any]:
        return {"size": self.size, "digest": self.digest, "extents": self.extents}


@dataclass(frozen=True, slots=True)
class Blob:
    """Size; packed with a key, the digests of the 64 MiB pieces, when there is more than one."""

    size: int
    pieces: tuple[Digest, ...]

    def as_json(self) -> dict[str, Any]:
        return {"size": self.size, "pieces": self.pieces}


@dataclass(frozen=True)
class Revision:
    """A manifest, the repo it belongs to, its upstream commit, and what is said about it.

    `signatures` are DSSE envelopes of statements.
    """

    repo: RepoId
    manifest: Manifest
    upstream: str | None
    statements: tuple[bytes, ...]
    signatures: tuple[bytes, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "repo": str(self.repo),
            "commit": self.manifest.commit,
            "manifest": self.manifest.data,
            "upstream": self.upstream,
            "statements": self.statements,
            "signatures": self.signatures,
        }


@dataclass(frozen=True)
class Elsewhere:
    """Contents (digest -> size) that a bundle leaves out, because `name` has brought them."""

    name: str
    blobs: Mapping[Digest, int]

    def of_these(self, wanted: Collection[Digest]) -> Elsewhere | None:
        found = {digest: size for digest, size in self.blobs.items() if digest in wanted}
        return Elsewhere(self.name, found) if found else None

    def beside(self, other: Elsewhere) -> Elsewhere:
        """Both."""
        return Elsewhere(f"{other.name}; {self.name}", {**other.blobs, **self.blobs})

    @property
    def size(self) -> int:
        return sum(self.blobs.values())


@dataclass(frozen=True)
class Index:
    """What bundle.json says. `base`: what a store must have before; None where all is here."""

    part_size: int
    revisions: tuple[Revision, ...]
    blobs: Mapping[Digest, Blob]
    parts: tuple[Part, ...]
    base: Elsewhere | None = None
    stack: Stack | None = None

    @cached_property
    def digest(self) -> Digest:
        """Of all but itself."""
        return digests.of_all(canonical_pieces(self._facts()))

    @property
    def data(self) -> bytes:
        """bundle.json. That of a model of many files is large: `written` is it piece by piece."""
        return together(self.written)

    @property
    def written(self) -> Iterator[bytes]:
        return self._written(self.digest)

    def _written(self, digest: Digest) -> Iterator[bytes]:
        return canonical_pieces({**self._facts(), "digest": digest})

    def _facts(self) -> dict[str, Any]:
        stack = {"stack": self.stack.as_json()} if self.stack else {}
        return {
            "format": STACK if self.stack else MODELS,
            **stack,
            "partSize": self.part_size,
            "base": {"of": self.base.name, "blobs": dict(self.base.blobs)} if self.base else None,
            "revisions": self.revisions,
            "blobs": dict(self.blobs),
            "parts": self.parts,
        }

    @property
    def models(self) -> Index:
        """The same without the images."""
        if self.stack is None:
            return self
        wanted = {digest for one in self.revisions for digest in one.manifest.blobs}
        base = self.base and self.base.of_these(wanted)
        return Index(
            self.part_size,
            self.revisions,
            {digest: blob for digest, blob in self.blobs.items() if digest in wanted},
            self.parts[: self.stack.first - 1],
            base,
        )

    @property
    def titles(self) -> list[str]:
        """What people call the things in it."""
        models = [f"{one.repo} at {one.manifest.commit}" for one in self.revisions]
        return [*models, *([self.stack.title] if self.stack else [])]

    @cached_property
    def places(self) -> dict[Digest, list[tuple[Part, Extent]]]:
        """Where each blob's extents are, in order of offset, each byte once."""
        found: dict[Digest, list[tuple[Part, Extent]]] = {digest: [] for digest in self.blobs}
        ends = dict.fromkeys(self.blobs, 0)
        for part in self.parts:
            for extent in part.extents:
                if extent.offset == ends[extent.blob] and (extent.length or not found[extent.blob]):
                    found[extent.blob].append((part, extent))
                    ends[extent.blob] += extent.length
        return found

    @classmethod
    def parse(cls, data: bytes, where: str) -> Index:
        """Raises DamagedIndex, and BadIndex for what is no index of this format, or contradicts
        itself."""
        written = digests.of(data)
        try:
            text = data.decode()
            # Neither form is needed beside the next one, which is larger.
            del data
            value = json.loads(text)
            del text
        except (ValueError, RecursionError) as error:
            raise _not_json(error, where) from error
        _undamaged(value, written, where)
        try:
            _validate(value)
            index = cls._from_json(value, where)
        except ValidationError as error:
            raise BadIndex(path=where, why=f"{error.json_path}: {error.message[:200]}") from error
        except (ValueError, RecursionError) as error:
            raise BadIndex(path=where, why=str(error)) from error
        if digests.of_all(index._written(value["digest"])) != written:
            raise BadIndex(path=where, why="it says something in another way than ours")
        index._check(where)
        return index

    @classmethod
    def _from_json(cls, value: dict[str, Any], where: str) -> Index:
        """Takes out what may be large, so that no two forms of all of it are there at once."""
        blobs = {
            Digest(digest): Blob(blob["size"], tuple(map(Digest, blob["pieces"])))
            for digest, blob in value.pop("blobs").items()
        }
        names = {digest: digest for digest in blobs}
        return cls(
            part_size=value["partSize"],
            blobs=blobs,
            parts=tuple(
                _part(number, part, names) for number, part in enumerate(value.pop("parts"), 1)
            ),
            revisions=tuple(_revision(one, where) for one in value.pop("revisions")),
            base=_elsewhere(value["base"]),
            stack=Stack.from_json(value["stack"], where) if "stack" in value else None,
        )

    def _check(self, where: str) -> None:
        def need(holds: bool, why: str) -> None:
            if not holds:
                raise BadIndex(path=where, why=why)

        for part in self.parts:
            end = 0
            for extent in part.extents:
                safe_path(extent.member, where)
                need(extent.blob in self.blobs, f"{part.name} holds an unknown blob")
                need(extent.at == end + len(extent.header), f"{part.name} has a gap")
                end = extent.at + extent.length + padding(extent.length)
            need(part.size == end + TAR_END, f"{part.name} has the wrong size")
        for digest, places in self.places.items():
            blob = self.blobs[digest]
            need(sum(e.length for _, e in places) == blob.size, f"{digest} is not whole")
            pieces = -(-blob.size // digests.PIECE) if blob.size > digests.PIECE else 0
            need(len(blob.pieces) in (0, pieces), f"{digest} has the wrong number of pieces")
        sizes = dict(self.base.blobs) if self.base else {}
        sizes |= {digest: blob.size for digest, blob in self.blobs.items()}
        for revision in self.revisions:
            for file in revision.manifest.files:
                need(sizes.get(file.digest) == file.size, f"{file.path} is not in it")
        for digest, size in self.stack.contents.items() if self.stack else ():
            need(sizes.get(digest) == size, f"{digest} of an image is not in it")


def _undamaged(value: dict[str, Any], written: Digest, where: str) -> None:
    """`value` is the index as it was written, for its own digest is right, and `written` that of
    all its bytes. Raises DamagedIndex."""
    try:
        facts = {key: one for key, one in value.items() if key != "digest"}
        whole = {**facts, "digest": digests.of_all(canonical_pieces(facts))}
        same = digests.of_all(canonical_pieces(whole)) == written
    except (AttributeError, ValueError, RecursionError) as error:
        raise _not_json(error, where) from error
    if not same:
        raise DamagedIndex(path=where, why="its own digest, or its canonical form, is not right")


def _not_json(error: Exception, where: str) -> DamagedIndex:
    return DamagedIndex(path=where, why=f"it is not JSON of ours ({error})")


def _elsewhere(value: Mapping[str, Any] | None) -> Elsewhere | None:
    if value is None:
        return None
    return Elsewhere(value["of"], {Digest(one): size for one, size in value["blobs"].items()})


def _validate(value: object) -> None:
    # jsonschema.validate would check the schema itself each time, which takes most of its time.
    if error := best_match(Draft202012Validator(SCHEMA).iter_errors(value)):
        raise error


def _part(number: int, value: Mapping[str, Any], names: Mapping[Digest, Digest]) -> Part:
    """`names`: digests as other facts have them, so that there is one of each."""
    extents = (
        Extent(**{**one, "blob": names.get(one["blob"], one["blob"])}) for one in value["extents"]
    )
    return Part(number, value["size"], Digest(value["digest"]), tuple(extents))


def _revision(value: dict[str, Any], where: str) -> Revision:
    manifest = Manifest.parse(value.pop("manifest").encode(), where)
    if manifest.commit != value["commit"]:
        raise BadIndex(path=where, why=f"commit {value['commit']} is not that of its manifest")
    statements = tuple(statement.encode() for statement in value.pop("statements"))
    signatures = tuple(signature.encode() for signature in value.pop("signatures"))
    signed = (Envelope.parse(signature, where).payload for signature in signatures)
    for said in (*statements, *signed):
        if Statement.head(said, where).subjects != {manifest.descriptor.digest}:
            raise BadIndex(path=where, why="a statement in it is about another manifest")
    return Revision(
        RepoId.parse(value["repo"]), manifest, value["upstream"], statements, signatures
    )
