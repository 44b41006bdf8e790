"""What a hub sends its clients on to, S3 mostly: read by urllib3, at a third of the CPU of httpx.

No credentials go there, and no proxy is asked: httpx knows the rules for those.
"""

from __future__ import annotations

import io
import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from urllib3 import BaseHTTPResponse, PoolManager

_TIMEOUT = 30.0
_CONNECTIONS = 16

# Of a header that it cannot read it tells the URL, which S3 may have signed.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class Redirected:
    """Places that an answer has led to; shared by threads, connections are kept."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._pool = PoolManager(maxsize=_CONNECTIONS, ssl_context=context)

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The answer, good or bad, its body unread. Raises urllib3's HTTPError."""
        return self._pool.request(
            "GET",
            url,
            headers=headers,
            preload_content=False,
            redirect=False,
            # An error of a request that is tried again tells the URL, too.
            retries=False,
            timeout=_TIMEOUT,
        )


class Body(io.RawIOBase):
    """An answer's bytes as they were sent; reading gives what is there, up to what is asked for.

    `errors` is the context of each reading: urllib3 raises its HTTPError, also when the answer ends
    before its length.
    """

    def __init__(
        self, answer: BaseHTTPResponse, errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._answer, self._errors = answer, errors

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with self._errors():
            return self._answer.read1(size if size >= 0 else None, decode_content=False)

    def close(self) -> None:
        self._answer.close()
        super().close()
