"""Conditional and partial reads: If-None-Match, Range and If-Range (RFC 9110)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class Unsatisfiable(Exception):
    """The asked range lies behind the end of the file."""


@dataclass(frozen=True)
class Span:
    """`length` bytes from `offset` of a file of `size` bytes."""

    offset: int
    length: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{self.size}"


def unchanged(headers: Headers, etag: str) -> bool:
    """Whether the client holds the file with this (bare) ETag already."""
    known = [tag.strip() for tag in headers.get("if-none-match", "").split(",")]
    return "*" in known or etag in [tag.removeprefix("W/").strip('"') for tag in known]


def asked(headers: Headers, etag: str, size: int) -> Span | None:
    """The asked range, None for the whole file. Raises Unsatisfiable.

    Several ranges at once, or what is no range of bytes, give the whole file, as the RFC
    allows; so does a range of another version (If-Range).
    """
    match = _RANGE.fullmatch(headers.get("range", "").strip())
    if not match or not any(match.groups()):
        return None
    if "if-range" in headers and headers["if-range"].strip('"') != etag:
        return None
    first, last = match.groups()
    if not first:
        return _span(max(0, size - int(last)), size, size)
    if last and int(last) < int(first):
        return None
    return _span(int(first), min(int(last) + 1, size) if last else size, size)


def _span(begin: int, end: int, size: int) -> Span:
    if begin >= end:
        raise Unsatisfiable
    return Span(begin, end - begin, size)
