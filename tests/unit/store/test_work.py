"""Work on many things at once: in order, and it stops at the first error and at Ctrl-C."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from waybill.errors import Corrupt, Interrupted
from waybill.store.work import Stoppable, parallel

WAIT = 10


def test_results_come_in_the_order_of_the_items() -> None:
    started = threading.Barrier(4)

    def work(number: int) -> int:
        started.wait(WAIT)
        time.sleep(0.001 * (4 - number))
        return number * number

    assert parallel(work, range(4), workers=4) == [0, 1, 4, 9]
    assert parallel(work, []) == []


def test_no_more_than_so_many_run_at_once() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1

    parallel(work, range(20), workers=3)
    assert most <= 3


def test_the_first_error_keeps_the_rest_from_beginning() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise Corrupt(what="it", expected="a", found="b")
        time.sleep(0.01)

    with pytest.raises(Corrupt, match="it is corrupt"):
        parallel(work, range(1000), workers=2)
    assert len(begun) < 20


def test_the_first_error_ends_what_runs_and_is_the_one_that_is_told() -> None:
    stoppable = Stoppable(lambda _: None)
    busy = threading.Barrier(3)
    ended = []

    def work(number: int) -> None:
        busy.wait(WAIT)
        if number == 2:
            raise Corrupt(what="it", expected="a", found="b")
        try:
            for _ in range(10_000):
                stoppable(1)
                time.sleep(0.001)
        except Interrupted:
            ended.append(number)
            raise

    with pytest.raises(Corrupt):
        parallel(work, range(3), workers=3, stop=stoppable.stop)
    assert sorted(ended) == [0, 1]


def test_work_that_was_stopped_is_interrupted_and_not_cancelled() -> None:
    def work(number: int) -> None:
        if number == 0:
            raise Interrupted
        time.sleep(0.01)

    with pytest.raises(Interrupted) as caught:
        parallel(work, range(100), workers=1)
    assert not isinstance(caught.value, CancelledError)


@pytest.mark.parametrize("workers", [2, 3])
def test_ctrl_c_ends_what_runs_and_begins_nothing_more(workers: int) -> None:
    """While all are at work, and while one of them asks for the next item."""
    stoppable, begun, ended = Stoppable(lambda _: None), list[int](), list[int]()
    ready, stopped = threading.Event(), threading.Event()

    def press() -> None:
        ready.wait(WAIT)
        # Until the main thread waits.
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    def stop() -> None:
        stoppable.stop()
        stopped.set()

    def items() -> Iterator[int]:
        yield from (0, 1)
        stopped.wait(WAIT)
        yield 2

    def work(number: int) -> None:
        begun.append(number)
        if len(begun) == 2:
            ready.set()
        try:
            for _ in range(10_000):
                stoppable(1)
                time.sleep(0.001)
        except Interrupted:
            ended.append(number)
            raise

    threading.Thread(target=press, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        parallel(work, items(), workers=workers, stop=stop)
    assert time.monotonic() - began < WAIT
    assert sorted(begun) == sorted(ended) == [0, 1]


def test_items_are_asked_for_when_somebody_can_take_them() -> None:
    asked, done = list[int](), list[int]()

    def items() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    def work(number: int) -> None:
        done.append(number)
        assert len(asked) <= len(done) + 3

    parallel(work, items(), workers=3)
    assert sorted(done) == asked


def test_an_error_in_the_list_of_items_begins_nothing_more() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise Corrupt(what="the list", expected="a", found="b")

    with pytest.raises(Corrupt, match="the list"):
        parallel(lambda _: None, items())


def test_progress_is_told_one_at_a_time() -> None:
    total = 0

    def advance(count: int) -> None:
        nonlocal total
        before = total
        time.sleep(0)
        total = before + count

    stoppable = Stoppable(advance)

    def work(_: int) -> None:
        for _ in range(100):
            stoppable(1)

    parallel(work, range(8))
    assert total == 800
