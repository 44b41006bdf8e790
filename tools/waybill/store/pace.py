"""A limit on the bytes a second that go to a store, for links that others need, too."""

from __future__ import annotations

import threading
import time

from waybill.digest import CHUNK
from waybill.store.base import Advance

LEAST = 100_000
"""Bytes a second below which servers give up connections that wait for their turn."""


class Paced:
    """An Advance that holds its callers up, so that all of them together keep to the rate.

    What comes in one count that is larger than a chunk was there already: nothing was sent.
    Debts are kept, credit is not: after a pause the rate is what it was before.
    """

    def __init__(self, advance: Advance, rate: int) -> None:
        """`rate` in bytes a second."""
        self._advance, self._rate = advance, rate
        self._lock, self._free_at = threading.Lock(), 0.0

    def __call__(self, count: int) -> None:
        self._advance(count)
        if 0 < count <= CHUNK:
            time.sleep(self._delay(count))

    def _delay(self, count: int) -> float:
        """Seconds that the caller has to wait."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now
