"""A real web server over a folder: ranges, TLS, sign-in, client certificates, redirects."""

import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Website:
    """`asked`: method, path, Range and Authorization of each request, in order.

    `accepts`: the header that opens it, if it is closed. Below /moved/ it sends to `moved_to` what
    it has not itself.
    `tired`: headers of answers that say that these are too many requests, the next first.
    `plain`: without ranges, and without a word about what may have changed.
    """

    folder: Path
    url: str = ""
    accepts: str | None = None
    moved_to: str = ""
    busy: int = 0
    tired: list[dict[str, str]] = field(default_factory=list)
    plain: bool = False
    asked: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)

    def tokens(self) -> set[str | None]:
        return {token for *_, token in self.asked}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Website

    def do_GET(self) -> None:
        site, told = self.site, self.headers
        # To a proxy the whole URL is told.
        self.path = urlsplit(self.path).path
        site.asked.append((self.command, self.path, told["Range"], told["Authorization"]))
        path = site.folder / unquote(self.path).lstrip("/")
        if site.busy:
            site.busy -= 1
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
        elif site.tired:
            self._answer(HTTPStatus.TOO_MANY_REQUESTS, b"", **site.tired.pop(0))
        elif site.accepts and told["Authorization"] != site.accepts:
            self._answer(HTTPStatus.UNAUTHORIZED)
        elif self.path.startswith("/moved/") and not path.is_file():
            target = site.moved_to + self.path.removeprefix("/moved")
            self._answer(HTTPStatus.TEMPORARY_REDIRECT, Location=target)
        elif not path.is_file():
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._file(path.read_bytes())

    do_HEAD = do_GET  # noqa: N815

    def _file(self, data: bytes) -> None:
        if self.site.plain:
            return self._answer(HTTPStatus.OK, data)
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not asked or self.headers["If-Range"] not in (None, tag):
            return self._answer(HTTPStatus.OK, data, ETag=tag)
        begin = int(asked[1])
        span = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        return self._answer(HTTPStatus.PARTIAL_CONTENT, data[begin:], ETag=tag, **span)

    def _answer(self, code: HTTPStatus, data: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with suppress(OSError):
                self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is in the site."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Clients that break off, and those that are not let in, are what the tests are about."""


@contextmanager
def website(
    folder: Path, certificate: Path | None = None, clients_of: Path | None = None
) -> Iterator[Website]:
    """Over TLS with `certificate`, a folder of tls.crt and tls.key; for clients that show a
    certificate of `clients_of` alone, where that is said."""
    site = Website(folder)
    with _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site})) as server:
        port = server.server_address[1]
        site.url = f"{'https://localhost' if certificate else 'http://127.0.0.1'}:{port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "tls.crt", certificate / "tls.key")
            if clients_of:
                context.load_verify_locations(clients_of)
                context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()
