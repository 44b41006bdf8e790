"""Databases of packages, of Debian, Alpine, RPM and Python: what each package says of itself.

What none of them names, as a program that was copied in, is not known from them, and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from urllib.parse import quote

from waybill.deliver.bom import Component, licensed
from waybill.deliver.images.rpm import installed

READ = re.compile(
    r"var/lib/dpkg/status(\.d/[^/]+)?|(usr/)?lib/apk/db/installed|(etc|usr/lib)/os-release"
    r"|usr/share/doc/[^/]+/copyright|(.+/)?[^/]+\.dist-info/METADATA"
    r"|(var/lib|usr/lib/sysimage)/rpm/rpmdb\.sqlite"
)
"""Paths in an image of what `packages` reads."""
UNREAD = re.compile(r"(var/lib|usr/lib/sysimage)/rpm/Packages(\.db)?")
"""Those of databases that nothing here reads: of Berkeley DB, and of RPM's own form."""
_VENDORS = {"rhel": "redhat"}
"""Systems that purls know by another name."""
_TABLE = "rpmdb.sqlite"
_FIELD = re.compile(r"^(\w[\w-]*):[ \t]*(\S.*)$", re.MULTILINE)
_SHORT = 80
"""Letters of a license's name; whoever writes more has put its text there."""


def packages(files: Mapping[str, bytes], unread: set[str]) -> Iterator[Component]:
    """`files`: path in the image -> content, of those that READ names.

    What is no database in spite of its name is added to `unread`, with why.
    """
    tables = {path: data for path, data in sorted(files.items()) if path.endswith(_TABLE)}
    plain = sorted(files.keys() - tables.keys())
    texts = {path: files[path].decode(errors="replace") for path in plain}
    system = next((_system(text) for path, text in texts.items() if "os-release" in path), "")
    for path, text in texts.items():
        if path.startswith("var/lib/dpkg/"):
            yield from _debian(text, texts, system or "debian")
        elif path.endswith("apk/db/installed"):
            yield from _alpine(text, system or "alpine")
        elif path.endswith("/METADATA"):
            yield from _python(text)
    for path, data in tables.items():
        try:
            yield from _rpm(data, _VENDORS.get(system, system or "redhat"))
        except ValueError as error:
            unread.add(f"{path}: {error}")


def _rpm(data: bytes, vendor: str) -> Iterator[Component]:
    for one in installed(data):
        version = f"{one['version']}-{one['release']}"
        more = "".join(f"&{key}={quote(one[key])}" for key in ("arch", "epoch") if key in one)
        terms = [one["license"]] if "license" in one else []
        yield _package("rpm", f"{vendor}/", one["name"], version, terms, f"?{more[1:]}")


def _system(text: str) -> str:
    found = re.search(r'^ID="?([\w.-]+)', text, re.MULTILINE)
    return found[1] if found else ""


def _debian(text: str, texts: Mapping[str, str], system: str) -> Iterator[Component]:
    for block in text.split("\n\n"):
        one = dict(_FIELD.findall(block))
        # Images without dpkg itself say no status: what they list is there.
        if {"Package", "Version"} <= one.keys() and _installed(one.get("Status", "")):
            name = one["Package"]
            terms = _terms(texts.get(f"usr/share/doc/{name}/copyright", ""))
            more = f"?arch={quote(one['Architecture'], safe='')}" if "Architecture" in one else ""
            yield _package("deb", f"{system}/", name, one["Version"], terms, more)


def _installed(status: str) -> bool:
    return not status or status.endswith(" installed")


def _terms(text: str) -> list[str]:
    """The short names in a copyright file that is written for programs to read."""
    if not text.startswith("Format:"):
        return []
    return sorted({value.strip() for key, value in _FIELD.findall(text) if key == "License"})


def _alpine(text: str, system: str) -> Iterator[Component]:
    for block in text.split("\n\n"):
        one = dict(_FIELD.findall(block))
        if {"P", "V"} <= one.keys():
            terms = [one["L"]] if "L" in one else []
            yield _package("apk", f"{system}/", one["P"], one["V"], terms)


def _python(text: str) -> Iterator[Component]:
    said = HeaderParser().parsestr(text)
    name, version = said.get("Name"), said.get("Version")
    if not (name and version):
        return
    kinds = [each.split(" :: ") for each in said.get_all("Classifier", [])]
    given = said.get("License-Expression") or said.get("License") or ""
    short = given if "\n" not in given and len(given) <= _SHORT else ""
    terms = [short] if short else [each[-1] for each in kinds if each[0] == "License"]
    yield _package("pypi", "", str(name), str(version), terms)


def _package(
    kind: str, where: str, name: str, version: str, terms: list[str], more: str = ""
) -> Component:
    # Python's names differ in case and dashes alone: its index knows one of them.
    known = re.sub(r"[-_.]+", "-", name).lower() if kind == "pypi" else name
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:{kind}/{where}{quote(known, safe='')}@{quote(version, safe='')}{more}",
        **licensed(terms),
    }
