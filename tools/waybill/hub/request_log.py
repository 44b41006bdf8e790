"""Around every request: its path as it was sent, its id, and one line in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("waybill.hub.requests")

_ID = re.compile(r"[\w.:=;-]{1,128}", re.ASCII)


class RequestLog:
    """ASGI middleware. Only the path is logged: a query or a header may hold a secret."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        entry = _Entry(scope, send)
        scope["path"], scope["request_id"] = entry.path, entry.id
        try:
            await self._app(scope, receive, entry.send)
        finally:
            entry.write()


class _Entry:
    """One request's line: method, path, status, bytes, milliseconds, id."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.path = scope["raw_path"].decode("latin-1")
        self.id = _request_id(Headers(scope=scope))
        self._method, self._send = scope["method"], send
        self._status, self._bytes, self._begin = 500, 0, time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)["X-Request-Id"] = self.id
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def write(self) -> None:
        took = (time.perf_counter() - self._begin) * 1000
        log.info(
            "%s %s %d %d B %.1f ms %s",
            *(self._method, self.path, self._status, self._bytes, took, self.id),
        )


def _request_id(headers: Headers) -> str:
    """What the client or a proxy calls this request, else a new id."""
    for name in ("x-request-id", "x-amzn-trace-id"):
        if _ID.fullmatch(headers.get(name, "")):
            return headers[name]
    return str(uuid.uuid4())
