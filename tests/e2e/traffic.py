"""Requests that go on while something happens, and what became of each."""

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx

RETRIES = 3
"""What a client is expected to do by itself: the OpenAI client retries twice by default."""


class Traffic:
    """Two clients that send one request again and again from the start to the end of the block.

    `pause` is the time between two requests of a client, in seconds: it leaves the cores to what
    starts. `lost` lists what failed after all retries, `retried` counts these, `answers` and `all`
    say what the header x-waybill-model-revision said.
    """

    def __init__(
        self, request: dict[str, Any], *, retries: int = RETRIES, pause: float = 0.25
    ) -> None:
        self._request, self._retries, self._pause = request, retries, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]
        self._counting = threading.Lock()
        self.lost: list[str] = []
        self.retried = 0
        self.answers: Counter[str] = Counter()
        """Since it was cleared last."""
        self.all: set[str] = set()
        self.sent = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __str__(self) -> str:
        return f"{self.sent}, {self.retried} retried"

    def at_least(self, count: int, seconds: float = 120) -> None:
        """Wait until so many more requests were answered."""
        goal, deadline = self.sent + count, time.monotonic() + seconds
        while self.sent < goal:
            assert time.monotonic() < deadline, f"{self.sent} of {goal} after {seconds} s"
            time.sleep(0.1)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not self._stop.is_set():
                said = self._one(client)
                with self._counting:
                    self.sent += 1
                    self.lost += said
                time.sleep(self._pause)

    def _one(self, client: httpx.Client) -> list[str]:
        """What the last attempt said; empty when one was answered."""
        for attempt in range(self._retries):
            try:
                answer = client.request(**self._request)
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code == httpx.codes.OK:
                    self._count(answer.headers.get("x-waybill-model-revision", ""))
                    return []
                said = f"{answer.status_code} {answer.text[:200]}"
            with self._counting:
                self.retried += 1
            time.sleep(min(0.5 * 2**attempt, 8))
        return [said]

    def _count(self, revision: str) -> None:
        with self._counting:
            self.answers[revision] += 1
            self.all.add(revision)
