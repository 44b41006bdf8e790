"""The bytes of a file: a redirect to where they lie, or streamed through the hub."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import IO

import anyio
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from waybill.digest import CHUNK
from waybill.errors import Corrupt, WaybillError
from waybill.hub.ranges import Span
from waybill.hub.state import Hub
from waybill.hub.threads import Threads
from waybill.manifest import File
from waybill.store import layout

log = logging.getLogger("waybill.hub")


async def location(hub: Hub, file: File, headers: Mapping[str, str], asked: str) -> str | None:
    """A presigned URL of the file's blob; None when the hub itself has to stream it.

    `asked` is the host that the client asked, which says where it is.
    """
    if hub.settings.delivery != "redirect":
        return None
    wanted = {name: headers[name] for name in ("content-type", "content-disposition")}
    key = layout.blob(file.digest)
    seconds = hub.settings.presign_seconds
    inside = hub.settings.is_internal(asked)
    return await hub.threads.sign(hub.store.backend.presign, key, seconds, wanted, inside)


async def stream(hub: Hub, file: File, span: Span | None, headers: Mapping[str, str]) -> Response:
    """The whole file or one span of it. Raises BlobMissing or what the store raises."""
    part = span or Span(0, file.size, file.size)
    body = await hub.threads.ask(hub.store.open, file.descriptor, part.offset, part.length)
    lengths = {"content-length": str(part.length)}
    if span:
        lengths["content-range"] = span.content_range
    return BlobResponse(
        hub.threads, body, part.length, 206 if span else 200, {**headers, **lengths}
    )


class BlobResponse(StreamingResponse):
    """Streams in chunks of 1 MiB at most; closes its source however it ends."""

    def __init__(
        self,
        threads: Threads,
        body: IO[bytes],
        length: int,
        status: int,
        headers: Mapping[str, str],
    ) -> None:
        self._threads, self._body, self._length = threads, body, length
        super().__init__(self._chunks(), status, headers)

    async def _chunks(self) -> AsyncIterator[bytes]:
        left = self._length
        while left:
            chunk = await self._threads.stream(self._body.read, min(CHUNK, left))
            if not chunk:
                found = f"{self._length - left} bytes"
                raise Corrupt(what="the blob", expected=f"{self._length} bytes", found=found)
            left -= len(chunk)
            yield chunk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except WaybillError as error:
            # The status is sent already. The server drops a connection that lacks bytes, so
            # the client sees that the file is incomplete.
            log.warning("stopped in the middle of %s: %s", scope["path"], error)
            scope["app"].state.hub.metrics.store_error(error)
        finally:
            with anyio.CancelScope(shield=True):
                await self._threads.stream(self._body.close)
