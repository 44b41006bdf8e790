"""GET and HEAD by urllib3, which reads at a third of httpx's CPU, as a transport of httpx."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import httpx2
import urllib3

from waybill.digest import CHUNK

_CONNECTIONS = 16
_SHORT = 16 << 10
"""Bytes that are read so that a connection can be used again, where it is closed for longer."""

# Of a header that it cannot read it tells the URL, which S3 may have signed.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class Transport(httpx2.BaseTransport):
    """Shared by threads; connections are kept. It asks no proxy.

    What sends a body goes by httpx, which takes an answer that comes before the body has ended.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=context)
        self._sending = httpx2.HTTPTransport(verify=context)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises httpx2.NetworkError."""
        if request.method not in ("GET", "HEAD"):
            return self._sending.handle_request(request)
        url, patience = request.url, request.extensions["timeout"]
        with _errors():
            answer = self._pool.request(
                request.method,
                f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}",
                headers=dict(request.headers),
                preload_content=False,
                redirect=False,
                # An error of a request that is tried again tells the URL, too.
                retries=False,
                timeout=urllib3.Timeout(connect=patience["connect"], read=patience["read"]),
            )
        return httpx2.Response(
            answer.status,
            headers=[
                (name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()
            ],
            stream=_Body(answer),
            extensions={"reason_phrase": (answer.reason or "").encode("latin-1")},
        )

    def close(self) -> None:
        self._pool.clear()
        self._sending.close()


class _Body(httpx2.SyncByteStream):
    """As it was sent, in the pieces that come."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with _errors():
                data = self._answer.read1(CHUNK, decode_content=False)
            if not data:
                return
            yield data

    def close(self) -> None:
        """What is short is read, so that the connection can be used again."""
        left = self._answer.length_remaining
        if left is not None and left <= _SHORT:
            self._answer.drain_conn()
        self._answer.close()


@contextmanager
def _errors() -> Iterator[None]:
    """In the words of the first cause: urllib3's own name objects, headers and URLs."""
    try:
        yield
    except urllib3.exceptions.LocationValueError:
        raise httpx2.NetworkError("its address is none that can be asked") from None
    except urllib3.exceptions.HTTPError as error:
        cause = _first(error)
        raise httpx2.NetworkError(str(cause) or type(cause).__name__) from error
    except (ValueError, HTTPException):
        raise httpx2.NetworkError("a header of the request is none, as of a token") from None


def _first(error: BaseException) -> BaseException:
    given = (each for each in error.args if isinstance(each, BaseException))
    under = error.__cause__ or next(given, None)
    return _first(under) if under else error
