"""Requests that go on while something happens, and what became of each."""

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx

PAUSE = 0.1
"""Seconds between two requests of a client: it leaves the cores to an engine that starts."""
RETRIES = 3
"""What a client is expected to do by itself: the OpenAI client retries twice by default."""


class Traffic:
    """Two clients that ask again and again from the start to the end of the block.

    `lost` lists what failed after all retries, `retried` how many needed one, `answers` and `all`
    what the header x-waybill-model-revision said.
    """

    def __init__(self, url: str, token: str, body: dict[str, Any]) -> None:
        self._url, self._body = url, body
        self._headers = {"authorization": f"Bearer {token}"}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]
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

    def at_least(self, count: int, seconds: float = 120) -> None:
        """Wait until so many more requests were answered."""
        goal, deadline = self.sent + count, time.monotonic() + seconds
        while self.sent < goal:
            assert time.monotonic() < deadline, f"{self.sent} of {goal} after {seconds} s"
            time.sleep(0.1)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=60, headers=self._headers) as client:
            while not self._stop.is_set():
                self._one(client)
                self.sent += 1
                time.sleep(PAUSE)

    def _one(self, client: httpx.Client) -> None:
        said = ""
        for attempt in range(RETRIES):
            try:
                answer = client.post(self._url, json=self._body)
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code == httpx.codes.OK:
                    revision = answer.headers.get("x-waybill-model-revision", "")
                    self.answers[revision] += 1
                    self.all.add(revision)
                    return
                said = f"{answer.status_code} {answer.text[:200]}"
            self.retried += 1
            time.sleep(0.5 * 2**attempt)
        self.lost.append(said)
