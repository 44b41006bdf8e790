"""A TCP proxy that counts what clients send, and cuts a chosen connection in the middle."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 1 << 16


@dataclass
class Wire:
    """`sent` bytes went to the server. An answer of more than `cut_at` bytes is cut there."""

    url: str = ""
    sent: int = 0
    cut_at: int | None = None
    cuts: int = 0
    times: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, size: int) -> None:
        with self._lock:
            self.sent += size

    def cut(self, answered: int) -> bool:
        with self._lock:
            if self.cut_at is None or answered <= self.cut_at or self.cuts >= self.times:
                return False
            self.cuts += 1
            return True


def _up(wire: Wire, client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while data := client.recv(_CHUNK):
            wire.count(len(data))
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)


def _down(wire: Wire, client: socket.socket, server: socket.socket) -> None:
    answered = 0
    with suppress(OSError), client, server:
        while data := server.recv(_CHUNK):
            answered += len(data)
            if wire.cut(answered):
                break
            client.sendall(data)
        # The other thread still waits for this client, so that closing alone tells it nothing.
        client.shutdown(socket.SHUT_RDWR)


def _accept(wire: Wire, listener: socket.socket, target: tuple[str, int]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(target)
        except OSError:
            client.close()
            continue
        for work in (_up, _down):
            threading.Thread(target=work, args=(wire, client, server), daemon=True).start()


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(f"http://127.0.0.1:{listener.getsockname()[1]}")
        accept = threading.Thread(
            target=_accept, args=(wire, listener, (host, int(port))), daemon=True
        )
        accept.start()
        yield wire
        listener.shutdown(socket.SHUT_RDWR)
        accept.join()
