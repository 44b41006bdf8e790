"""RPM's database, as systems since Fedora 33 and Enterprise Linux 9 have it: a table of headers.

A header is an index of tags and the data that they point to:
https://rpm-software-management.github.io/rpm/manual/format_header.html
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing

_MAGIC = b"SQLite format 3\0"
_STEPS = 100_000
"""Calls of the database's engine, of a thousand instructions each: a view could go on for ever."""
_WARY = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
"""What SQLite asks for where a file is not one's own (security.html)."""
_ENTRY = struct.Struct(">IIiI")
_NUMBER, _STRING, _TRANSLATED = 4, 6, 9
_TAGS = {
    1000: "name",
    1001: "version",
    1002: "release",
    1003: "epoch",
    1014: "license",
    1022: "arch",
}


def installed(data: bytes) -> Iterator[dict[str, str]]:
    """Of each package name, version, release, epoch, license and arch, as far as it has them.

    Raises ValueError where it is no such database.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("it is no SQLite database")
    try:
        for blob in _blobs(data):
            found = _header(blob)
            # Keys that packages are signed with stand there, too.
            if {"name", "version", "release", "arch"} <= found.keys():
                yield found
    except (sqlite3.Error, struct.error) as error:
        raise ValueError(f"it is no database of RPM ({error})") from error


def _blobs(data: bytes) -> Iterator[bytes]:
    # The journal of one in WAL mode (bytes 18 and 19: 2) is a file beside it; in memory is none.
    data = data[:18] + b"\1\1" + data[20:]
    steps = iter(range(_STEPS))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(data)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, len(data))
        database.set_progress_handler(lambda: next(steps, None) is None, 1000)
        for pragma in _WARY:
            database.execute(pragma)
        left = len(data)
        for (blob,) in database.execute("SELECT blob FROM Packages"):
            left -= len(blob) if isinstance(blob, bytes) else left + 1
            if left < 0:
                raise ValueError("it has more than headers, or more of them than it is large")
            yield blob


def _header(blob: bytes) -> dict[str, str]:
    count, size = struct.unpack_from(">II", blob)
    data = blob[8 + _ENTRY.size * count :]
    if len(data) != size:
        raise ValueError("a header in it has another length")
    found = {}
    for tag, kind, offset, _ in _ENTRY.iter_unpack(blob[8 : 8 + _ENTRY.size * count]):
        if tag in _TAGS:
            found[_TAGS[tag]] = _value(data, kind, offset)
    return found


def _value(data: bytes, kind: int, offset: int) -> str:
    if kind == _NUMBER:
        return str(struct.unpack_from(">I", data, offset)[0])
    end = data.find(b"\0", offset)
    if kind not in (_STRING, _TRANSLATED) or not 0 <= offset <= end:
        raise ValueError("a header in it points to nothing")
    return data[offset:end].decode(errors="replace")
