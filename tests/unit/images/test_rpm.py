"""RPM's database in an image: a real one, of two packages that rpm 4.18 has built and installed."""

import gzip
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from tests.images import layer
from tests.unit.cli.conftest import Waybill
from tests.unit.images.test_packages import listed, packages

REAL = gzip.decompress((Path(__file__).parent / "rpmdb.sqlite.gz").read_bytes())
"""In WAL mode, as rpm leaves it."""
RHEL = b'ID="rhel"\n'
ENDLESS = (
    "CREATE VIEW Packages AS WITH RECURSIVE n(hnum, blob) AS "
    "(SELECT 1, x'' UNION ALL SELECT hnum + 1, x'' FROM n) SELECT * FROM n WHERE hnum < 0"
)
LARGE = "CREATE VIEW Packages AS SELECT 1 hnum, zeroblob(1000000000) blob"
HEADER = struct.pack(">IIIIiI", 1, 2000, 1000, 6, 0, 1) + b"a" * 1999 + b"\0"
MANY = (
    "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS "
    "(SELECT x'HEADER' UNION ALL SELECT blob FROM n) SELECT * FROM n"
).replace("HEADER", HEADER.hex())


@pytest.mark.parametrize("path", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_packages_and_their_licenses_are_read(waybill: Waybill, tmp_path: Path, path: str) -> None:
    files = {f"{path}/rpmdb.sqlite": REAL, "etc/os-release": RHEL}
    one, ran = listed(waybill, tmp_path / "bundle", layer(files))
    assert packages(one) == {
        "pkg:rpm/redhat/demo-libs@2.0-3.el9?arch=x86_64&epoch=1": ["MIT and GPLv2+"],
        "pkg:rpm/redhat/plain@1.36~rc1-1?arch=noarch": ["Apache-2.0"],
    }
    assert "warning" not in ran.err


def made(*statements: str, blobs: tuple[object, ...] = ()) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in statements:
            database.execute(statement)
        for blob in blobs:
            database.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
        database.commit()
        return database.serialize()


def holding(*blobs: object) -> bytes:
    table = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)"
    return made(table, blobs=blobs)


def header(tag: int, kind: int, offset: int, data: bytes = b"demo\0") -> bytes:
    return struct.pack(">IIIIiI", 1, len(data), tag, kind, offset, 1) + data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"SQLite", "it is no SQLite database", id="no-database"),
        pytest.param(REAL[:20_000], "it is no database of RPM", id="cut-off"),
        pytest.param(made("CREATE TABLE other (n)"), "no such table: Packages", id="another"),
        pytest.param(made(ENDLESS), "interrupted", id="endless"),
        pytest.param(made(LARGE), "string or blob too big", id="large"),
        pytest.param(made(MANY), "more of them than it is large", id="many"),
        pytest.param(holding(7), "it has more than headers", id="number"),
        pytest.param(holding(b"\0"), "it is no database of RPM", id="short"),
        pytest.param(holding(b"\xff" * 40), "has another length", id="count"),
        pytest.param(holding(header(1000, 6, 5)), "points to nothing", id="behind"),
        pytest.param(holding(header(1000, 6, -9)), "points to nothing", id="before"),
        pytest.param(holding(header(1000, 6, 0, b"demo")), "points to nothing", id="no-end"),
        pytest.param(holding(header(1000, 7, 0)), "points to nothing", id="kind"),
        pytest.param(holding(header(1003, 4, 3)), "it is no database of RPM", id="epoch"),
    ],
)
def test_what_is_no_database_is_named(
    waybill: Waybill, tmp_path: Path, data: bytes, why: str
) -> None:
    files = {"var/lib/rpm/rpmdb.sqlite": data, "lib/apk/db/installed": b"P:musl\nV:1\n"}
    one, ran = listed(waybill, tmp_path / "bundle", layer(files))
    assert list(packages(one)) == ["pkg:apk/alpine/musl@1"], "what can be read is listed"
    assert "var/lib/rpm/rpmdb.sqlite: " in ran.err and why in ran.err


def test_keys_and_other_things_without_an_architecture_are_no_packages(
    waybill: Waybill, tmp_path: Path
) -> None:
    files = {"var/lib/rpm/rpmdb.sqlite": holding(header(1000, 6, 0, b"gpg-pubkey\0"))}
    one, ran = listed(waybill, tmp_path / "bundle", layer(files))
    assert (packages(one), ran.err.count("warning")) == ({}, 0)
