"""Packages of images, by the databases in their layers."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.images import Built, archive, build, layer
from tests.unit.bundle.bundles import flip
from tests.unit.cli.conftest import Ran, Waybill
from tests.unit.images.conftest import HUB
from tests.unit.sign.test_statements import cyclonedx  # noqa: F401 - a fixture

DEBIAN = b"""Package: libdemo1
Status: install ok installed
Architecture: amd64
Version: 1:2.0-3+deb12u1
Description: a library
 Version: of nothing

Package: gone
Status: deinstall ok config-files
Version: 1

Package: plain
Status: install ok installed
Version: 3
"""
COPYRIGHT = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: MIT

Files: debian/*
License: GPL-2+
 The text.
"""
ALPINE = b"P:musl\nV:1.2.5-r0\nL:MIT\n\nP:busybox\nV:1.36.1-r2\n"
RELEASE = b'NAME="Demo"\nID=ubuntu\n'
UNREAD = (
    "vnd.oci.image.layer.v1.tar is read by nothing",
    "var/lib/rpm/Packages: this form of RPM's",
)
SITE = "usr/lib/python3/site-packages"


def python(name: str, version: str, *more: str) -> bytes:
    return "\n".join(
        ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more]
    ).encode()


def saved(waybill: Waybill, out: Path, image: Built, *options: object) -> Path:
    built = archive(out.with_suffix(".tar"), {HUB: image})
    arguments = ("images", "save", HUB, "--archive", built, "--out", out, "--no-chart")
    ran = waybill(*arguments, *options)
    assert ran.code == 0, ran.err
    return out


def listed(waybill: Waybill, out: Path, *layers: bytes) -> tuple[dict[str, Any], Ran]:
    """The image's component, and how the command went."""
    bundle = saved(waybill, out, build(layers))
    ran = waybill("images", "bom", bundle, "--packages", "--json")
    assert ran.code == 0, ran.err
    (one,) = ran.result["bom"]["components"]
    return one, ran


def packages(one: dict[str, Any]) -> dict[str, list[str]]:
    """By purl: licenses."""
    terms = {each["purl"]: each.get("licenses", []) for each in one["components"]}
    return {
        purl: [found["license"].get("id") or found["license"]["name"] for found in licenses]
        for purl, licenses in terms.items()
    }


def test_each_database_is_read(
    waybill: Waybill,
    tmp_path: Path,
    cyclonedx: Any,  # noqa: F811
) -> None:
    files = {
        "usr/lib/os-release": RELEASE,
        "var/lib/dpkg/status": DEBIAN,
        "usr/share/doc/libdemo1/copyright": COPYRIGHT,
        "usr/share/doc/plain/copyright": b"License: in words, which nobody can take apart\n",
        "./lib/apk/db/installed": ALPINE,
        f"{SITE}/a-1.dist-info/METADATA": python("A.b_C", "1", "License-Expression: MIT"),
        f"{SITE}/b.dist-info/METADATA": python(
            "b", "2+cpu", "License: Apache-2.0", "", "License: x"
        ),
        f"{SITE}/c.dist-info/METADATA": python(
            "c", "3", f"License: {'long ' * 50}", "Classifier: License :: OSI Approved :: ISC"
        ),
        f"{SITE}/d.dist-info/METADATA": b"\xff no metadata",
        f"{SITE}/e/METADATA": python("e", "1"),
    }
    one, ran = listed(waybill, tmp_path / "bundle", layer(files))
    assert packages(one) == {
        "pkg:apk/ubuntu/busybox@1.36.1-r2": [],
        "pkg:apk/ubuntu/musl@1.2.5-r0": ["MIT"],
        "pkg:deb/ubuntu/libdemo1@1%3A2.0-3%2Bdeb12u1?arch=amd64": ["GPL-2+", "MIT"],
        "pkg:deb/ubuntu/plain@3": [],
        "pkg:pypi/a-b-c@1": ["MIT"],
        "pkg:pypi/b@2%2Bcpu": ["Apache-2.0"],
        "pkg:pypi/c@3": ["ISC"],
    }
    assert [error.message for error in cyclonedx.iter_errors(ran.result["bom"])] == []
    assert "warning" not in ran.err
    said = waybill("images", "bom", tmp_path / "bundle", "--packages").out
    assert any(line.split()[:3] == ["package", "musl", "1.2.5-r0"] for line in said.splitlines())


def test_without_the_flag_no_layer_is_read(waybill: Waybill, tmp_path: Path) -> None:
    bundle = saved(waybill, tmp_path / "bundle", build([layer({"var/lib/dpkg/status": DEBIAN})]))
    (one,) = waybill("images", "bom", bundle, "--json").result["bom"]["components"]
    assert "components" not in one


@pytest.mark.parametrize(
    ("above", "left"),
    [
        ({"other": b""}, ["a", "b"]),
        ({f"{SITE}/a.dist-info/METADATA": python("a", "2")}, ["a", "b"]),
        ({f"{SITE}/.wh.a.dist-info": b""}, ["b"]),
        ({f"{SITE}/a.dist-info/.wh.METADATA": b""}, ["b"]),
        ({f"{SITE}/.wh..wh..opq": b"", f"{SITE}/c.dist-info/METADATA": python("c", "1")}, ["c"]),
        ({".wh..wh..opq": b""}, []),
        ({".wh.usr": b""}, []),
        ({"usr/.wh.li": b""}, ["a", "b"]),
    ],
)
def test_layers_lie_over_each_other(
    above: dict[str, bytes], left: Sequence[str], waybill: Waybill, tmp_path: Path
) -> None:
    below = {f"{SITE}/{name}.dist-info/METADATA": python(name, "1") for name in ("a", "b")}
    one, _ = listed(waybill, tmp_path / "bundle", layer(below), layer(above))
    assert [each["name"] for each in one["components"]] == left
    newer = f"{SITE}/a.dist-info/METADATA" in above
    assert [each["version"] for each in one["components"]] == (
        ["2", "1"] if newer else ["1"] * len(left)
    )


def test_what_is_not_read_is_said(waybill: Waybill, tmp_path: Path) -> None:
    zstd, rpm = b"\x28\xb5\x2f\xfd" + bytes(2000), {"var/lib/rpm/Packages": b"Berkeley"}
    packed = gzip.compress(layer({"var/lib/dpkg/status": DEBIAN}), mtime=0)
    one, ran = listed(waybill, tmp_path / "bundle", zstd, layer(rpm), packed)
    assert list(packages(one)) == [
        "pkg:deb/debian/libdemo1@1%3A2.0-3%2Bdeb12u1?arch=amd64",
        "pkg:deb/debian/plain@3",
    ], "what can be read is listed"
    told = sorted(each["value"] for each in one["properties"] if each["name"] == "waybill:unread")
    assert [why in each for why, each in zip(UNREAD, told, strict=True)] == [True, True]
    assert all(why in ran.err for why in UNREAD)


def test_a_bundle_of_changes_says_which_layers_it_lacks(waybill: Waybill, tmp_path: Path) -> None:
    base, more = layer({"var/lib/dpkg/status": DEBIAN}), layer({"n": b"1"})
    first = saved(waybill, tmp_path / "first", build([base]))
    delta = saved(waybill, tmp_path / "delta", build([base, more]), "--base", first)
    ran = waybill("images", "bom", delta, "--packages", "--json")
    assert (ran.code, "it is not in this bundle" in ran.err) == (0, True)


def test_a_damaged_layer_is_not_believed(waybill: Waybill, tmp_path: Path) -> None:
    bundle = saved(waybill, tmp_path / "bundle", build([layer({"var/lib/dpkg/status": DEBIAN})]))
    (part,) = bundle.glob("part-*.tar")
    flip(part, part.read_bytes().index(b"libdemo1"))
    out = tmp_path / "list.json"
    assert waybill("images", "bom", bundle, "--out", out).code == 0
    out.unlink()
    assert waybill("images", "bom", bundle, "--packages", "--out", out).code == 4
    assert not out.exists()


def test_the_same_bundle_has_the_same_list(waybill: Waybill, tmp_path: Path) -> None:
    image = build([layer({"var/lib/dpkg/status": DEBIAN, "lib/apk/db/installed": ALPINE})])
    found = set()
    for name in ("one", "two"):
        out = tmp_path / f"{name}.json"
        bundle = saved(waybill, tmp_path / name, image)
        assert waybill("images", "bom", bundle, "--packages", "--out", out).code == 0
        found.add(out.read_bytes())
    assert len(found) == 1


def test_what_runs_here_is_listed_as_python_itself_lists_it(
    waybill: Waybill, tmp_path: Path
) -> None:
    known = [one for one in metadata.distributions() if one.read_text("METADATA")]
    files = {
        f"{SITE}/{at}.dist-info/METADATA": str(one.read_text("METADATA")).encode()
        for at, one in enumerate(known)
    }
    one, _ = listed(waybill, tmp_path / "bundle", layer(files))
    assert {(each["name"], each["version"]) for each in one["components"]} == {
        (each.metadata["Name"], each.version) for each in known
    }
    licensed = [each for each in one["components"] if each.get("licenses")]
    assert len(licensed) > len(known) / 2


def members(*given: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for info, data in given:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def linked(path: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = tarfile.SYMTYPE, "/elsewhere"
    return info


def named(size: int) -> tarfile.TarInfo:
    """What comes before a member whose name has so many letters."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info


STATUS = (tarfile.TarInfo("var/lib/dpkg/status"), DEBIAN)


def test_a_layer_of_several_gzip_members_is_read_to_its_end(
    waybill: Waybill, tmp_path: Path
) -> None:
    plain = layer({"a": bytes(5000), "var/lib/dpkg/status": DEBIAN})
    parts = (gzip.compress(plain[at : at + 2000], mtime=0) for at in range(0, len(plain), 2000))
    one, _ = listed(waybill, tmp_path / "bundle", b"".join(parts))
    assert len(one["components"]) == 2


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        (gzip.compress(layer({"a": b""}), mtime=0)[:3], "is read by nothing here"),
        (members(STATUS, (named(0), b"n" * 2_000_000)), "a header of 2,000,000 bytes"),
        (members(*[(named(0), b"n\0")] * 3000, STATUS), "is read by nothing here"),
        (members((linked("var/lib/dpkg/status"), b"")), "var/lib/dpkg/status: it is a link"),
        (members(STATUS)[:1024] + b"x" * 512, "is read by nothing here"),
    ],
)
def test_a_layer_that_is_made_to_harm_is_named(
    damaged: bytes, why: str, waybill: Waybill, tmp_path: Path
) -> None:
    one, ran = listed(waybill, tmp_path / "bundle", layer({"n": b""}), damaged)
    assert one["components"] == []
    assert why in ran.err


def test_a_link_takes_what_lay_below(waybill: Waybill, tmp_path: Path) -> None:
    below = layer({"var/lib/dpkg/status": DEBIAN})
    one, _ = listed(waybill, tmp_path / "bundle", below, members((linked("var/lib"), b"")))
    assert one["components"] == []


def test_more_than_databases_have_is_not_kept(
    waybill: Waybill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waybill.deliver.images.packages._ALL", 200)
    many = {f"{SITE}/{name}.dist-info/METADATA": python(name, "1" * 80) for name in "abc"}
    one, ran = listed(waybill, tmp_path / "bundle", layer(many))
    assert len(one["components"]) == 1
    assert ran.err.count("no database is as large") == 2
