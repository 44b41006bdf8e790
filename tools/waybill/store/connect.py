"""From a store URL to a Store: `s3://bucket/prefix` or `file:///path` (also a plain path)."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from waybill.errors import BadFile, BadValue
from waybill.store.base import Backend
from waybill.store.filesystem import FilesystemBackend
from waybill.store.store import Store

_CREDENTIALS = re.compile(r"(?!hf:)[a-z0-9+]+://[^/#]*@|(hf|s3|store\+s3)://[^/#]*:.*@", re.I)
"""Secret keys may have a slash in them; and `hf://name@revision` has none."""
_THEIR_PLACE = "credentials do not belong in a URL; a profile or a token file holds them"


@dataclass(frozen=True)
class Access:
    """How to reach an S3 server. `profile` names credentials of the AWS shared files."""

    endpoint: str | None = None
    profile: str | None = None
    ca_bundle: str | None = None
    public_endpoint: str | None = None
    """Where clients outside reach the same server: presigned URLs are made for it."""


def connect(
    url: str,
    access: Access | None = None,
    *,
    single_writer: bool = False,
    capacity: int | None = None,
) -> Store:
    """`capacity` is what the store may hold, in bytes, where its server does not say.

    Raises BadValue when the URL is neither S3 nor a directory, BadFile for its CA bundle.

    The store is not touched yet.
    """
    backend = _backend(url, access or Access())
    return Store(backend, single_writer=single_writer, capacity=capacity)


def _backend(url: str, access: Access) -> Backend:
    refuse_credentials("store", url)
    parts = split("store", url)
    if parts.scheme and (parts.query or parts.fragment):
        raise BadValue(what="store", value=url, why="'?' and '#' cannot be in it")
    if parts.scheme == "s3" and parts.netloc:
        # Half a second to import: only for those who need it.
        from waybill.store.s3 import S3Backend

        if access.ca_bundle:
            trusting(access.ca_bundle)
        return S3Backend(
            parts.netloc,
            parts.path.strip("/"),
            endpoint=check_endpoint("endpoint", access.endpoint),
            profile=access.profile,
            ca_bundle=access.ca_bundle,
            public_endpoint=check_endpoint("public endpoint", access.public_endpoint),
        )
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return FilesystemBackend(local("store", unquote(parts.path)))
    if not parts.scheme and url:
        return FilesystemBackend(local("store", url))
    raise BadValue(what="store", value=url, why="it must be s3://bucket/prefix or file:///path")


def refuse_credentials(what: str, url: str) -> None:
    """Raises BadValue, which does not show them."""
    if _CREDENTIALS.match(url):
        shown = f"{url.partition(':')[0]}://...@{url.rpartition('@')[2]}"
        raise BadValue(what=what, value=shown, why=_THEIR_PLACE)


def trusting(ca_bundle: str | None) -> ssl.SSLContext:
    """For a client that trusts these authorities alone, or the system's. Raises BadFile."""
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "there is no such file" if missing else error.strerror or error
        raise BadFile(path=f"caBundle {ca_bundle}", why=why) from error


def split(what: str, url: str) -> SplitResult:
    """The parts of a URL. Raises BadValue for one that has no parts."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise BadValue(what=what, value=url, why=str(error)) from error


def local(what: str, text: str) -> Path:
    """Raises BadValue for what can be no path."""
    if "\0" in text or not text:
        raise BadValue(what=what, value=text, why="it is not a path")
    return Path(text)


def check_endpoint(what: str, url: str | None) -> str | None:
    """The URL of a server. Raises BadValue unless it is http(s) without credentials."""
    if url is None:
        return None
    parts = split(what, url)
    if parts.username or parts.password or "@" in parts.netloc:
        shown = f"{parts.scheme}://...@{parts.hostname}"
        raise BadValue(what=what, value=shown, why=_THEIR_PLACE)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadValue(what=what, value=url, why="it must be http://host or https://host")
    return url
