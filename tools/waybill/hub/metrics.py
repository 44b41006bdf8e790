"""GET /metrics: what the hub counts, for Prometheus. Labels have few values, whatever is asked."""

from __future__ import annotations

import time

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waybill.errors import (
    AccessDenied,
    BlobMissing,
    Corrupt,
    StoreUnreachable,
    Unsigned,
    UntrustedSignature,
)

# They would double the number of series, and Prometheus does not read them.
disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""A stream through the hub counts until its last byte, so the largest are for those."""
FILES = "resolve"
"""The route whose good answers are files."""


class Metrics:
    """Has a registry of its own, so that two hubs in one process count apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = self._counter("requests", "Answered requests", "route", "status")
        self._seconds = Histogram(
            "waybill_hub_request_duration_seconds",
            "Time from a request to the last byte of its answer",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._bytes = self._counter("bytes", "Bytes of files that went through the hub")
        self._store_errors = self._counter("store_errors", "Failures of the store", "error")
        self._untrusted = self._counter(
            "untrusted", "Requests for revisions that the trust policy refuses", "error"
        )
        # A series that begins with its first error is no rise to Prometheus.
        for failure in (AccessDenied, BlobMissing, Corrupt, StoreUnreachable):
            self._store_errors.labels(failure.__name__)
        for refusal in (Unsigned, UntrustedSignature):
            self._untrusted.labels(refusal.__name__)
        self._sign_ins = self._counter("auth", "Requests by how their token was judged", "outcome")
        self._key_fetches = self._counter(
            "key_fetches", "Fetches of issuers' keys", "issuer", "outcome"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"waybill_hub_{name}_total", text, labels, registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def streamed(self, length: int) -> None:
        self._bytes.inc(length)

    def store_error(self, error: Exception) -> None:
        self._store_errors.labels(type(error).__name__).inc()

    def untrusted(self, error: Exception) -> None:
        self._untrusted.labels(type(error).__name__).inc()

    def sign_in(self, outcome: str) -> None:
        """accepted, missing, refused, or unavailable: the issuer could not be asked."""
        self._sign_ins.labels(outcome).inc()

    def key_fetch(self, issuer: str, outcome: str) -> None:
        """ok or failed."""
        self._key_fetches.labels(issuer, outcome).inc()


async def metrics(request: Request) -> Response:
    text = generate_latest(request.app.state.hub.metrics.registry)
    return Response(text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})


class Measure:
    """ASGI middleware: counts every request when its answer has ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begin = 500, time.perf_counter()

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status in (200, 206) and route_of(scope) == FILES:
                self._metrics.streamed(len(message.get("body", b"")))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._metrics.answered(route_of(scope), status, time.perf_counter() - begin)


def route_of(scope: Scope) -> str:
    """The name of the handler; `none` when no route was reached."""
    return getattr(scope.get("endpoint"), "__name__", "none")
