"""Credentials for HTTP, from where people keep them: never from a URL or an argument.

A bearer token is in the file of --source-token-file or in WAYBILL_HTTP_TOKEN; a name and a
password are in the netrc file (NETRC, else ~/.netrc), by host.
"""

from __future__ import annotations

import base64
import netrc
import os
from pathlib import Path

from waybill.errors import BadFile, BadValue

TOKEN = "WAYBILL_HTTP_TOKEN"  # noqa: S105 - the name of a variable
CHECK = (
    f"--source-token-file or {TOKEN}, the host's entry in the netrc file, and the client "
    "certificate: whichever the server asks for"
)


def authorization(host: str, token_file: str | None) -> str | None:
    """The header's value for a host, None where nothing is known. Raises BadFile, BadValue."""
    token = _token(token_file)
    if token:
        return f"Bearer {token}"
    return _from_netrc(host)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _token(token_file: str | None) -> str | None:
    if token_file is None:
        token = os.environ.get(TOKEN, "").strip()
        if not _is_token(token):
            raise BadValue(what=TOKEN, value="…", why="it must be one token, in ASCII")
        return token or None
    try:
        token = Path(token_file).read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise BadFile(path=token_file, why="no token can be read from it") from error
    if not _is_token(token) or not token:
        raise BadFile(path=token_file, why="it must hold one token and nothing else")
    return token


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _from_netrc(host: str) -> str | None:
    # In a pod there may be no home.
    path = Path(os.environ.get("NETRC") or f"{os.environ.get('HOME', '')}/.netrc")
    if not path.is_file():
        return None
    try:
        found = netrc.netrc(str(path)).authenticators(host)
    except (netrc.NetrcParseError, OSError, ValueError) as error:
        # Its own message may quote a line, with the password in it.
        raise BadFile(path=path, why="it is no netrc file that can be read") from error
    return basic(found[0], found[2]) if found else None
