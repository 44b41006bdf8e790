"""Files of a web server: one, or all that a SHA256SUMS file names."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote

import httpx2

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadSums, BadValue, SourceChanged, SourceCorrupt, SourceUnreachable
from waybill.manifest import MAX_FILES, safe_path
from waybill.source.base import Origin, SourceFile
from waybill.source.card import license_of
from waybill.source.credentials import CHECK, authorization
from waybill.source.reach import Reach
from waybill.source.streams import patiently, resumed
from waybill.source.web import Asker, Web, from_byte, total_size
from waybill.store.connect import check_endpoint, split
from waybill.store.work import parallel

SUMS = "SHA256SUMS"
_SUMS_SIZE = 16 << 20
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_BSD_LINE = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})")


class WebsiteSource:
    """`https://host/path/file`. Of `https://host/path/SHA256SUMS`, the files that it names."""

    local = False

    def __init__(self, url: str, reach: Reach) -> None:
        check_endpoint("source", url)
        parts = split("source", url)
        if "?" in url or "#" in url:
            raise BadValue(what="source", value=url.partition("?")[0], why="no '?' or '#' can be")
        self._folder, _, name = url.rpartition("/")
        self._name = safe_path(unquote(name), url) if parts.path.strip("/") and name else ""
        if not self._name:
            why = f"it must name a file; a directory is named by its {SUMS}"
            raise BadValue(what="source", value=url, why=why)
        self._url = url
        self._pin = _parse_sum(reach.sha256) if reach.sha256 else None
        self._web = Web(Asker(self, CHECK), url, reach)
        self._authorization = authorization(parts.hostname or "", reach.token_file)

    def __str__(self) -> str:
        return self._url

    @cached_property
    def origin(self) -> Origin:
        return Origin(source=self._url, license=license_of(self))

    def files(self) -> Sequence[SourceFile]:
        return self._files

    @cached_property
    def _files(self) -> Sequence[SourceFile]:
        wanted = self._sums() if self._name == SUMS else {self._name: self._pin}
        listed = parallel(lambda item: self._listed(*item), wanted.items())
        return sorted(listed, key=lambda file: file.path)

    def _sums(self) -> dict[str, Digest | None]:
        """Path -> digest. Raises BadSums, UnsafePath, SourceCorrupt when it is not as pinned."""
        data = patiently(lambda: self._web.read(self._get(self._url), _SUMS_SIZE))
        if self._pin and digests.of(data) != self._pin:
            raise SourceCorrupt(what=self._url, expected=self._pin, found=digests.of(data))
        found = parse_sums(data.decode("utf-8", errors="replace"), self._url)
        if not 0 < len(found) <= MAX_FILES:
            raise BadSums(source=self, why=f"{SUMS} names {len(found):,} files")
        return found

    def _listed(self, path: str, digest: Digest | None) -> SourceFile:
        size, stamp = patiently(lambda: self._look(path))
        return SourceFile(path, size, stamp, digest)

    def _look(self, path: str) -> tuple[int, str]:
        """Size and stamp, without the body. Raises SourceUnreachable."""
        url = self._place(path)
        response = self._ask("HEAD", url)
        if response.status_code in (405, 501) or not total_size(response):
            response.close()
            # Of the body that comes with this no more is read than a few bytes.
            response = self._ask("GET", url)
        response = self._web.checked(response)
        response.close()
        if (size := total_size(response)) is None:
            raise SourceUnreachable(source=self, why=f"it does not tell the size of {path}")
        return size, _stamp(response, size)

    def _ask(self, method: str, url: str, offset: int = 0, stamp: str = "") -> httpx2.Response:
        headers = from_byte(offset)
        tag = stamp.rpartition(":")[0]
        if offset and tag.startswith('"'):
            headers["If-Range"] = tag
        return self._web.ask(method, url, headers, self._authorization)

    def _get(self, url: str, offset: int = 0, stamp: str = "") -> httpx2.Response:
        return self._web.checked(self._ask("GET", url, offset, stamp))

    def _place(self, path: str) -> str:
        return self._url if path == self._name else f"{self._folder}/{quote(path)}"

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        return resumed(lambda at: self._open(file, at), offset, file.size, self)

    def _open(self, file: SourceFile, offset: int) -> IO[bytes]:
        if offset >= file.size:
            return io.BytesIO()
        response = self._get(self._place(file.path), offset, file.stamp)
        size = total_size(response)
        if size is not None and _stamp(response, size) != file.stamp:
            response.close()
            raise SourceChanged(path=file.path, source=self)
        return self._web.body(response, offset)

    def is_unchanged(self, file: SourceFile) -> bool:
        """Asked anew where neither a digest nor a strong ETag of each answer has told."""
        if file.digest or file.stamp.startswith('"'):
            return True
        return patiently(lambda: self._look(file.path))[1] == file.stamp

    def holds(self, path: Path) -> bool:  # noqa: ARG002
        return False


def parse_sums(text: str, where: str) -> dict[str, Digest | None]:
    """Path -> digest, of sha256sum's output, also with --tag; no digest is None.

    Raises BadSums for a line of another form, or of another digest than one before it, UnsafePath
    for a path that leaves the folder.
    """
    sums: dict[str, Digest | None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if found := _LINE.fullmatch(line):
            digest, name = found.groups()
        elif found := _BSD_LINE.fullmatch(line):
            name, digest = found.groups()
        else:
            raise BadSums(source=where, why=f"line {number} is none of sha256sum's")
        path, told = safe_path(name.removeprefix("./"), where), digests.from_hex(digest.lower())
        if sums.setdefault(path, told) != told:
            why = f"line {number} has another digest of {path} than a line before it"
            raise BadSums(source=where, why=why)
    return sums


def _parse_sum(text: str) -> Digest:
    """Raises BadValue unless it is 64 hex digits, with or without sha256: before them."""
    digest = digests.from_hex(text.lower().removeprefix("sha256:"))
    if not digests.is_digest(digest):
        raise BadValue(what="SHA-256 of the source", value=text, why="it is not 64 hex digits")
    return digest


def _stamp(response: httpx2.Response, size: int) -> str:
    """Another one when the bytes may be others, as far as the server tells."""
    tag = response.headers.get("etag") or response.headers.get("last-modified", "")
    return f"{tag}:{size}"
