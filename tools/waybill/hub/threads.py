"""Calls of the synchronous store from the event loop: in threads, with a limit of time.

Metadata, signatures and streams have threads of their own, so that a store which hangs, or
many slow downloads, never keep the hub from answering what it has in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from waybill.errors import StoreUnreachable

Result = TypeVar("Result")

PATIENCE = 8.0
"""Seconds that a store may take over one question: clients give up after ten."""


class Threads:
    """Runs store calls; `url` names the store in errors."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self._url, self._patience = url, patience
        self._questions = ThreadPoolExecutor(32, thread_name_prefix="store")
        self._signatures = ThreadPoolExecutor(4, thread_name_prefix="sign")
        self._streams = CapacityLimiter(64)

    async def ask(self, call: Callable[..., Result], *args: object) -> Result:
        """The call's result. Raises StoreUnreachable when it takes too long."""
        return await self._within_patience(self._questions, call, *args)

    async def sign(self, call: Callable[..., Result], *args: object) -> Result:
        """As `ask`, for what needs no answer of the store."""
        return await self._within_patience(self._signatures, call, *args)

    async def stream(self, call: Callable[..., Result], *args: object) -> Result:
        """The call's result, whenever it comes; waits for its end even when cancelled."""
        return await to_thread.run_sync(partial(call, *args), limiter=self._streams)

    async def _within_patience(
        self, pool: ThreadPoolExecutor, call: Callable[..., Result], *args: object
    ) -> Result:
        """A call that is given up keeps its thread until it ends; one that still waits for a
        thread is dropped. So a store that hangs never makes threads or queues grow."""
        running = asyncio.get_running_loop().run_in_executor(pool, partial(call, *args))
        try:
            return await asyncio.wait_for(running, self._patience)
        except TimeoutError:
            why = f"no answer within {self._patience:g} s"
            raise StoreUnreachable(url=self._url, why=why) from None
