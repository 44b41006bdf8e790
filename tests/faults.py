"""An HTTP proxy before a real server that loses, cuts, slows down or refuses exchanges."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

LOSE, CUT, REFUSE = "lose the answer", "cut the answer in the middle", "close before asking"
DROP = "close in the middle of the request"
STALL, TRICKLE = "ask only after a while", "give the answer in drops"
FULL = "answer that the disk is full"
SLOW_DOWN, BROKEN = "answer that it is too much", "answer that something broke"
TOO_MANY, NOT_HERE = "answer that these are too many", "answer that it is not done here"
CONNECTIONS = (LOSE, CUT, REFUSE, DROP)
SLOW = (STALL, TRICKLE)
ANSWERS = {
    FULL: (
        507,
        "XMinioStorageFull",
        "Storage backend has reached its minimum free drive threshold.",
    ),
    SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    BROKEN: (500, "InternalError", "We encountered an internal error, please try again."),
    TOO_MANY: (429, "TOOMANYREQUESTS", "You have reached your rate limit."),
    NOT_HERE: (405, "UNSUPPORTED", "The operation is unsupported."),
}
_CHUNK = 1 << 16
_DROPS = 8
Rule = Callable[[str, str], bool]


@dataclass
class Faults:
    """What the proxy saw, and what it does: to the next requests of `rule`, or to any by chance.

    `sent` bytes of contents went to the server; `done` counts the faults. A stall lasts `pause`
    seconds, and so does an answer that comes in drops.
    """

    endpoint: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    rule: Rule = lambda method, path: False  # noqa: ARG005
    what: str = LOSE
    times: int = 0
    sent: int = 0
    done: Counter[str] = field(default_factory=Counter)
    pause: float = 0.5
    _share: float = 0.0
    _kinds: Sequence[str] = ()
    _random: random.Random = field(default_factory=random.Random)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, what: str, rule: Rule, times: int = 1) -> None:
        self.what, self.rule, self.times = what, rule, times
        self.seen.clear()

    def storm(self, seed: int, share: float, kinds: Sequence[str]) -> None:
        """From now on this share of all requests meets one of these faults."""
        self._random, self._share, self._kinds = random.Random(seed), share, kinds  # noqa: S311

    def count(self, rule: Rule) -> int:
        return sum(rule(method, path) for method, path in self.seen)

    def add(self, size: int) -> None:
        with self._lock:
            self.sent += size

    def fault(self, method: str, path: str) -> str | None:
        with self._lock:
            self.seen.append((method, path))
            if self.times and self.rule(method, path):
                self.times -= 1
                what = self.what
            elif self._share and self._random.random() < self._share:
                what = self._random.choice(self._kinds)
            else:
                return None
            self.done[what] += 1
            return what


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
        size = int(self.headers.get("Content-Length") or 0)
        if fault in ANSWERS:
            self.rfile.read(size)
            self._refuse(*ANSWERS[fault])
            return
        if fault == STALL:
            time.sleep(self.faults.pause)
        server = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            self._ask(server, size, size // 2 if fault == DROP else size)
            if fault != DROP:
                self._give(server.getresponse(), fault)
        except (OSError, http.client.HTTPException):
            fault = DROP
        finally:
            server.close()
            self.close_connection = self.close_connection or fault in CONNECTIONS

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _ask(self, server: http.client.HTTPConnection, size: int, length: int) -> None:
        """Pass on the request, of its `size` bytes the first `length`."""
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name != "Expect":
                server.putheader(name, value)
        server.endheaders()
        # A server that refuses does not read on, and has answered.
        with suppress(BrokenPipeError, ConnectionResetError):
            while length and (data := self.rfile.read(min(length, _CHUNK))):
                server.send(data)
                self.faults.add(len(data))
                length, size = length - len(data), size - len(data)
            if length:
                raise http.client.HTTPException("the client has gone")
            return
        self.close_connection = size > 0

    def _give(self, answer: http.client.HTTPResponse, fault: str | None) -> None:
        if fault == LOSE:
            answer.read()
            return
        length = answer.getheader("Content-Length")
        whole = None if length else answer.read()
        size = len(whole) if whole is not None else int(length or 0)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if whole is None and self.command != "HEAD":
            self._stream(answer, size // 2 if fault == CUT else size, fault == TRICKLE)
        elif whole and self.command != "HEAD":
            self.wfile.write(whole[: len(whole) // 2] if fault == CUT else whole)

    def _stream(self, answer: http.client.HTTPResponse, left: int, in_drops: bool) -> None:
        chunk = max(1, left // _DROPS) if in_drops else _CHUNK
        while left and (data := answer.read(min(left, chunk))):
            self.wfile.write(data)
            left -= len(data)
            if in_drops:
                time.sleep(self.faults.pause / _DROPS)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _exchange  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Tests speak for themselves."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the game."""


@contextmanager
def faulty(url: str) -> Iterator[Faults]:
    """A proxy to the server at this address."""

    class Handler(_Handler):
        upstream = url.removeprefix("http://")

    with _Server(("127.0.0.1", 0), Handler) as server:
        faults = Faults(f"http://127.0.0.1:{server.server_address[1]}")
        Handler.faults = faults
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield faults
        finally:
            server.shutdown()
