"""SHA-256 digests as OCI writes them: `sha256:<64 hex>`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import IO, NewType

from waybill.errors import BadValue, Corrupt

Digest = NewType("Digest", str)

CHUNK = 1 << 20
PIECE = 64 << 20
"""Bytes of one S3 part and of one separately verified piece of a blob."""

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_digest(text: str) -> bool:
    return _PATTERN.fullmatch(text) is not None


def parse(text: str) -> Digest:
    """Raises BadValue unless `text` is a SHA-256 digest."""
    if not is_digest(text):
        raise BadValue(what="digest", value=text, why="it is not sha256: and 64 hex digits")
    return Digest(text)


def of(data: bytes) -> Digest:
    return from_hex(hashlib.sha256(data).hexdigest())


def of_all(pieces: Iterable[bytes]) -> Digest:
    """Of what they are together."""
    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(piece)
    return from_hex(sha.hexdigest())


def from_hex(text: str) -> Digest:
    return Digest(f"sha256:{text}")


def hex_of(digest: Digest) -> str:
    return digest.removeprefix("sha256:")


def short(digest: str) -> str:
    """As much of it as people are shown."""
    return digest[: len("sha256:") + 12]


def short_commit(commit: str) -> str:
    """As much of it as names of engines have, and people are shown."""
    return commit[:8]


def is_commit(text: str) -> bool:
    """A commit is 40 lower-case hex digits, as Hugging Face clients see it."""
    return _COMMIT.fullmatch(text) is not None


def parse_commit(text: str) -> str:
    """Raises BadValue unless `text` is a commit."""
    if not is_commit(text):
        raise BadValue(what="commit", value=text, why="it is not 40 lower-case hex digits")
    return text


def piece_spans(size: int) -> list[tuple[int, int]]:
    """(offset, length) of each piece of a blob of `size` bytes; S3 part n is span n - 1."""
    return [(at, min(PIECE, size - at)) for at in range(0, size, PIECE)]


def chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    while chunk := stream.read(size):
        yield chunk


def verified(stream: IO[bytes], digest: Digest, size: int, what: str) -> Iterator[bytes]:
    """Yield the stream's chunks; raise Corrupt at its end unless digest and size are right.

    The consumer must not make anything visible before the iterator is exhausted.
    """
    sha, count = hashlib.sha256(), 0
    for chunk in chunks(stream):
        sha.update(chunk)
        count += len(chunk)
        yield chunk
    check(digest, size, from_hex(sha.hexdigest()), count, what)


def check(digest: Digest, size: int, found: Digest, count: int, what: str) -> None:
    """Raises Corrupt when a size or a digest is not the expected one."""
    if count != size:
        raise Corrupt(what=what, expected=f"{size} bytes", found=f"{count} bytes")
    if found != digest:
        raise Corrupt(what=what, expected=digest, found=found)
