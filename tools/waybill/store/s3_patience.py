"""How long an S3 server that fails is waited for.

botocore tries again for less than a second, or a few where the server asks for it. That is right
for a question: somebody waits for the answer, and a server that was never there is told at once.
What writes comes late, after hours of sending perhaps, and a server that is started again or moved
to another machine is back within a minute or two: so it is asked again for as long, ever more
seldom. So is what reads in the midst of loading. A stream goes on from where the connection broke;
otherwise not for as long, because a client of the hub waits behind it.

A server may also go without a word, with the node that it ran on. What waits for its answer then
waits for long, so connections that nobody uses are asked whether anybody is there.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Callable
from functools import partial
from io import RawIOBase
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionError as NotConnected
from botocore.exceptions import HTTPClientError

from waybill.errors import StoreUnreachable, WaybillError
from waybill.store.s3_errors import Place, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WRITING = 120.0
READING = 30.0
"""Seconds since the first failure of the same request."""
_FIRST, _LONGEST = 0.5, 15.0
"""Seconds of a pause; each is twice the one before, shortened by chance so that many clients do
not come back at one moment."""
_WRITES = (
    "PutObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "ListParts",
    "ListMultipartUploads", "CompleteMultipartUpload", "AbortMultipartUpload",
)  # fmt: skip
_READS = ("GetObject", "HeadObject", "ListObjectsV2", "HeadBucket")
IN_VAIN = 5
"""Answers without a byte from the same place of an object, after which others are looked at."""
_UNREADABLE = "SlowDownRead"
"""What MinIO says of an object that is to be copied and cannot be read. It is no passing fault
there: whoever sends the object instead finds out which one it is."""
_PASSING = {429, 500, 502, 503, 504}
_FAILED_SINCE = "waybill-failed-since"
TOLD, TOLD_AGAIN = 5.0, 60.0
"""Seconds of failures after which people are told, and between that and the next time."""
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
]
"""A connection with nobody at its other end is closed 20 s after its last byte."""
log = logging.getLogger("waybill.store")


def keep_alive(client: Any) -> None:
    """Before its first request."""
    # botocore itself sets the first option alone, and the kernel's times are hours.
    client._endpoint.http_session._socket_options.extend(_KEEP_ALIVE)


def be_patient(client: S3Client, loading: Callable[[], bool]) -> None:
    """What writes is tried again for WRITING seconds, and while `loading` says so what reads, too.

    What the server refuses is not.
    """
    tell = partial(_Word(), client.meta.endpoint_url)
    for operation in (*_WRITES, *_READS):
        when = loading if operation in _READS else lambda: True
        handler: Any = partial(_pause_before_retry, tell, when)
        client.meta.events.register(f"needs-retry.s3.{operation}", handler)


class _Word:
    """One for all requests that fail at the same time."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, endpoint: str, what: str) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + TOLD_AGAIN
            log.warning("%s %s: asking again for up to %.0f s", endpoint, what, WRITING)


def _pause_before_retry(
    tell: Callable[[str], None],
    when: Callable[[], bool],
    attempts: int,
    response: tuple[Any, Any] | None,
    caught_exception: Exception | None,
    request_dict: dict[str, Any],
    operation: Any,
    **_: object,
) -> float | None:
    """Seconds; None leaves it to botocore."""
    if response is not None and response[0].status_code not in _PASSING:
        return None
    if (
        response is not None
        and _says(response[1]) == _UNREADABLE
        and operation.name == "UploadPartCopy"
    ):
        return None
    if response is None and not isinstance(caught_exception, NotConnected | HTTPClientError):
        return None
    if not when():
        return None
    since = request_dict["context"].setdefault(_FAILED_SINCE, time.monotonic())
    lasted = time.monotonic() - since
    if TOLD < lasted < WRITING:
        tell(f"answers {response[0].status_code}" if response else "does not answer")
    return _pause(attempts) if lasted < WRITING else None


def _says(answer: Any) -> str:
    return str(answer.get("Error", {}).get("Code", ""))


def _pause(attempts: int) -> float:
    longest = min(_LONGEST, _FIRST * 2.0 ** min(attempts - 1, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - not a secret


class Body(RawIOBase):
    """The bytes of an object, over as many connections as it takes. Errors are ours."""

    def __init__(
        self,
        place: Place,
        body: Any,
        reopen: Callable[[int], Any],
        lost: Callable[[int], WaybillError | None],
    ) -> None:
        """`body` is botocore's; `reopen` gives another one, from an offset on. `lost` is asked when
        no byte came from there again and again: whether it is this object that cannot be read.
        """
        self._place, self._body, self._reopen, self._lost = place, body, reopen, lost
        self._at = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        end, attempts = time.monotonic() + READING, 0
        while True:
            try:
                return self._read(size)
            except StoreUnreachable:
                # To ask anew may have taken long by itself.
                if time.monotonic() >= end:
                    raise
            attempts += 1
            if attempts >= IN_VAIN and (error := self._lost(self._at)):
                raise error
            time.sleep(_pause(attempts))

    def _read(self, size: int) -> bytes:
        with translated(self._place):
            self._body = self._body or self._reopen(self._at)
            body, self._body = self._body, None
            data: bytes = body.read(None if size < 0 else size)
        if self.closed:
            # Meanwhile, by one who did not want to wait for this answer.
            body.close()
            return b""
        self._body = body
        self._at += len(data)
        return data

    def close(self) -> None:
        if self._body:
            self._body.close()
        super().close()
