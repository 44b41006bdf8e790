"""A proxy between client and server that loses, cuts or refuses chosen exchanges, for real."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.services import Minio

LOSE, CUT, REFUSE = "lose the answer", "cut the answer in the middle", "close before asking"
FULL = "answer that the disk is full"
FULL_ANSWER = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive
threshold. Please delete a few objects to proceed.</Message></Error>"""


@dataclass
class Faults:
    """What the proxy saw, and what it does to the next requests that `rule` picks."""

    endpoint: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    rule: Callable[[str, str], bool] = lambda method, path: False  # noqa: ARG005
    what: str = LOSE
    times: int = 0

    def next(self, what: str, rule: Callable[[str, str], bool], times: int = 1) -> None:
        self.what, self.rule, self.times = what, rule, times
        self.seen.clear()

    def count(self, rule: Callable[[str, str], bool]) -> int:
        return sum(rule(method, path) for method, path in self.seen)

    def fault(self, method: str, path: str) -> str | None:
        self.seen.append((method, path))
        if self.times and self.rule(method, path):
            self.times -= 1
            return self.what
        return None


def puts(method: str, path: str) -> bool:
    """A PutObject, of which the uploads of parts are none."""
    return method == "PUT" and "partNumber" not in path


def parts(method: str, path: str) -> bool:
    return method == "PUT" and "partNumber" in path


def completes(method: str, path: str) -> bool:
    return method == "POST" and "uploadId=" in path


def gets(method: str, path: str) -> bool:  # noqa: ARG001
    return method == "GET"


def anything(method: str, path: str) -> bool:  # noqa: ARG001
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: ClassVar[Faults]
    upstream: ClassVar[str]

    def _exchange(self) -> None:
        fault = self.faults.fault(self.command, self.path)
        if fault == REFUSE:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == FULL:
            self.send_response_only(507)
            self.send_header("Content-Length", str(len(FULL_ANSWER)))
            self.end_headers()
            self.wfile.write(FULL_ANSWER)
            return
        server = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            data = answer.read()
            if fault == LOSE:
                self.close_connection = True
                return
            self._give(answer, data, cut=fault == CUT)
        finally:
            server.close()

    def _give(self, answer: http.client.HTTPResponse, data: bytes, cut: bool) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _exchange  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Tests speak for themselves."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the game."""


@contextmanager
def faulty(minio: Minio) -> Iterator[Faults]:
    class Handler(_Handler):
        upstream = minio.endpoint.removeprefix("http://")

    with _Server(("127.0.0.1", 0), Handler) as server:
        faults = Faults(f"http://127.0.0.1:{server.server_address[1]}")
        Handler.faults = faults
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield faults
        finally:
            server.shutdown()
