"""What stands around the gateway in these tests: network peers that only show what reached them.

An engine's own behaviour is not the subject here; a real vLLM is, behind the same gateway, in
tests/e2e. The issuer signs with real keys.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

PATIENCE = 20.0
"""Seconds that a peer or a test waits for the other side."""


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # 5, the default, would refuse connections in a burst of them.
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def gone(self) -> None:
        """Close the port and cut every connection, as a killed pod does."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer leaves whole, so that a cut connection carried all of it or nothing.
    wbufsize = -1

    def handle(self) -> None:
        # A client may leave at any time.
        with suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status: int, value: object, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", **headers}.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


@contextmanager
def listening(
    handler: type[BaseHTTPRequestHandler], port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[_Server]:
    server = _Server(handler, port)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gone()
        thread.join()


@dataclass
class Peer:
    """In the place of one engine. `go_on` lets a stream proceed after its first event."""

    name: str
    port: int = 0
    ready: bool = True
    busy: int = 0
    """So many of the next answers are 503."""
    broken: bool = False
    """Every answer is 500."""
    padding: int = 0
    """Further bytes of each answer."""
    received: list[Received] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    gone: Callable[[], None] = field(default=lambda: None)
    """Ends it as a kill ends a pod."""

    @property
    def last(self) -> Received:
        return self.received[-1]


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _stream(handler: _Handler, peer: Peer) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream; charset=utf-8")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    try:
        handler.chunk(event({"by": peer.name, "n": 0}))
        deadline = time.monotonic() + PATIENCE
        while not peer.go_on.wait(0.02) and time.monotonic() < deadline:
            # A comment, which clients ignore: writing is how a server notices who has left.
            handler.chunk(b": waiting\n\n")
        for n in (1, 2):
            handler.chunk(event({"n": n}))
        handler.chunk(event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
        handler.chunk(b"")
    except OSError:
        peer.cancelled.set()


def _handler(peer: Peer) -> type[_Handler]:
    class Handler(_Handler):
        def do_GET(self) -> None:
            self.answer(200 if peer.ready else 503, {})

        def do_POST(self) -> None:
            body = self.body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            peer.received.append(Received(self.path, headers, body))
            if peer.busy or peer.broken:
                peer.busy = max(0, peer.busy - 1)
                self.answer(500 if peer.broken else 503, {"error": {"message": peer.name}})
            elif b'"stream": true' in body or b'"stream":true' in body:
                _stream(self, peer)
            else:
                padding = {"padding": "x" * peer.padding} if peer.padding else {}
                self.answer(200, {"by": peer.name, "usage": USAGE} | padding)

    return Handler


@contextmanager
def engine(peer: Peer, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """The peer answers; on a port of its own, unless it has had one before."""
    with listening(_handler(peer), peer.port, tls) as server:
        peer.port, peer.gone = server.server_port, server.gone
        yield peer


@dataclass(frozen=True)
class Issuer:
    """An issuer's signing key and where its public half is found."""

    issuer: str
    jwks_uri: str
    key: rsa.RSAPrivateKey

    def token(self, tenant: str = "acme", **claims: Any) -> str:
        now = int(time.time())
        payload = {"iss": self.issuer, "aud": "waybill-gateway", "azp": tenant, "exp": now + 300}
        kept = {name: value for name, value in (payload | claims).items() if value is not None}
        return jwt.encode(kept, self.key, "RS256", headers={"kid": "one"})


@contextmanager
def issuer(
    name: str, *, slow: float = 0, port: int = 0, key: rsa.RSAPrivateKey | None = None
) -> Iterator[Issuer]:
    """Its keys are answered after `slow` seconds."""
    key = key or rsa.generate_private_key(65537, 2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    keys = {"keys": [public | {"kid": "one", "use": "sig", "alg": "RS256"}]}

    class Handler(_Handler):
        def do_GET(self) -> None:
            time.sleep(slow)
            self.answer(200, keys)

    with listening(Handler, port) as server:
        keys_at = f"http://127.0.0.1:{server.server_port}/keys"
        yield Issuer(f"https://{name}.example.com/realms/x", keys_at, key)


def eventually(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still not so after {seconds:.0f} s"
        time.sleep(0.02)
