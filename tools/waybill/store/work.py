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
    """Results in the order of `items`, which are asked for by whoever has nothing to do. The first
    error keeps the rest from beginning.

    `stop` is called then, and at Ctrl-C, so that long-running items can end early.
    """
    numbered, turn = enumerate(items), threading.Lock()
    results, ended = dict[int, Result](), threading.Event()

    def take() -> tuple[int, Item] | None:
        with turn:
            return next(numbered, None)

    # A future for each item would take more memory than most items and results do.
    def work() -> None:
        try:
            while (one := take()) and not ended.is_set():
                results[one[0]] = function(one[1])
        except BaseException:
            ended.set()
            raise

    pool = ThreadPoolExecutor(workers)
    futures: list[Future[None]] = []
    try:
        futures += (pool.submit(work) for _ in range(workers))
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            stop()
        pool.shutdown()
    except BaseException:
        # Not for long: one that waits for a server that hangs would hold up Ctrl-C.
        ended.set()
        stop()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(futures, timeout=_GRACE)
        raise
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, Interrupted)):
        raise error
    return [results[index] for index in range(len(results))]
