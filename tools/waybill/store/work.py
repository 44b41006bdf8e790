"""Work on many things at once that stops at the first error, and at Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from waybill.errors import Interrupted
from waybill.store.base import Advance

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 8
_GRACE = 2
"""Seconds that what is under way has to end after Ctrl-C."""


class Stoppable:
    """An Advance whose workers stop soon after `stop`: each call then raises Interrupted."""

    def __init__(self, advance: Advance) -> None:
        self._advance, self._stopped = advance, threading.Event()
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        if self._stopped.is_set():
            raise Interrupted
        with self._lock:
            self._advance(count)

    def stop(self) -> None:
        self._stopped.set()


def parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = WORKERS,
    stop: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Results in the order of `items`. The first error cancels what has not begun.

    `stop` is called then, and at Ctrl-C, so that long-running items can end early.
    """
    pool = ThreadPoolExecutor(workers)
    futures: list[Future[Result]] = []
    try:
        futures += (pool.submit(function, item) for item in items)
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            stop()
        pool.shutdown(cancel_futures=True)
    except BaseException:
        # Not for long: one that waits for a server that hangs would hold up Ctrl-C.
        stop()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(futures, timeout=_GRACE)
        raise
    for future in done:
        if (error := future.exception()) and not isinstance(error, Interrupted):
            raise error
    return [future.result() for future in futures]
