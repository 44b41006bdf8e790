"""The lease of the one who prunes, and how writers live beside it.

Who prunes takes the lease, then looks; who writes writes, then looks for the lease. So either the
prune sees what was written, or the writer sees the prune. In full:

1. Only the holder of the lease deletes, and never later than VALID seconds after the last renewal:
   the store itself refuses what comes later. The lease is another's to take after LAPSED seconds,
   which are more. All of this is by the server's clock.
2. The holder lists after the lease was taken, keeps what is young, and all that young things name.
3. A writer writes (so it is young), finds the lease free or lapsed, and then what it wrote as it
   was before. A prune that began before that moment has deleted its last. One that begins after
   it sees what was written, and keeps it with all that it names for as long as things are young.
   Now the writer looks at each blob, sends again what is gone, and moves its ref.

A moment is a time of the server's: it does not matter how wrong the clocks of clients are, nor how
long who prunes sleeps between two calls. A writer must not sleep longer, between its last look and
moving its ref, than things are young: an hour at least, a week unless somebody says otherwise.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from waybill.errors import BeingPruned, PruneHeldUp, WaybillError
from waybill.manifest import canonical
from waybill.store import layout
from waybill.store.base import Backend, Stat
from waybill.store.store import Store
from waybill.store.work import parallel

RENEWED = 60.0
"""Seconds between two renewals."""
VALID = 180.0
LAPSED = 300.0
PATIENCE = 900.0
"""Seconds that a writer waits for a prune."""
POLL = 1.0
TOLD = 5.0
"""Seconds of waiting after which people are told."""
log = logging.getLogger("waybill.store")


def settle(store: Store, write: Callable[[], object], keys: Sequence[str]) -> str | None:
    """Write, so that no prune takes it away: step 3 above up to looking at the blobs.

    `write` makes what `keys` name, or makes it young; it is called again when a prune was faster.
    What `ended` says of the lease then. Raises BeingPruned.
    """
    backend = store.backend

    def look() -> list[Stat | None]:
        return parallel(backend.stat, keys)

    free = wait(store)
    write()
    seen = look()
    while True:
        found, now = wait(store), look()
        if (found, now) == (free, seen) and None not in now:
            return ended(found)
        if found != free or None in now:
            # Not when it was only another writer of the same: they would chase each other.
            write()
            now = look()
        free, seen = found, now


def last_prune(store: Store) -> str | None:
    """Which prune was the last to end, "" for none; None while one may be at work.

    As long as the answer is the same, nothing was deleted.
    """
    return ended(store.backend.read(layout.LEASE))


def ended(lease: bytes | None) -> str | None:
    """As `last_prune`, of the lease as it was read."""
    if lease is None:
        return ""
    with suppress(ValueError, KeyError, TypeError):
        facts = json.loads(lease)
        return str(facts["id"]) if facts["ended"] else None
    return None


def wait(store: Store) -> bytes | None:
    """Return once nobody may delete: the lease, given back or lapsed. Raises BeingPruned."""
    since, told = time.monotonic(), False
    while not (found := _free(store.backend))[0]:
        waited = time.monotonic() - since
        if waited > PATIENCE:
            raise _being_pruned(store)
        if waited > TOLD and not told:
            told = True
            log.warning("%s: waiting until that has ended", _being_pruned(store))
        time.sleep(POLL)
    return found[1]


def _free(backend: Backend) -> tuple[bool, bytes | None]:
    """Whether the lease is there to take, and what it holds."""
    data = backend.read(layout.LEASE)
    if ended(data) is not None:
        return True, data
    # The time first: a lease is never taken for older than it is.
    now, data = backend.now(), backend.read(layout.LEASE)
    stat = backend.stat(layout.LEASE)
    return stat is not None and now - stat.modified > LAPSED, data


def _being_pruned(store: Store) -> BeingPruned:
    by = "somebody"
    with suppress(ValueError, KeyError, TypeError):
        by = json.loads(store.backend.read(layout.LEASE) or b"")["by"]
    return BeingPruned(url=store.url, by=by)


@contextmanager
def held(store: Store, by: str) -> Iterator[Lease]:
    """Hold the lease, renewed all the while. Raises BeingPruned, NoConditionalWrites."""
    store.require_writable()
    lease = Lease(store, by)
    done = threading.Event()
    thread = threading.Thread(target=lease.keep, args=(done,), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.give_back()


class Lease:
    """The right to delete. It is lost when it could not be renewed in time."""

    answered = True
    """Whether all deletions that were sent are done; others may still come to the store."""

    def __init__(self, store: Store, by: str) -> None:
        """Take it. Raises BeingPruned when another has it."""
        self._store, self._backend = store, store.backend
        self._facts: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "by": by,
            "ended": False,
            "renewals": 0,
        }
        self._lost = False
        free, before = _free(self._backend)
        if not free or not self._backend.replace(layout.LEASE, self._data, before):
            raise _being_pruned(store)
        self._until = self._modified() + VALID

    @property
    def until(self) -> float:
        """The end of the right by the server's clock, as of now. Raises PruneHeldUp."""
        if self._lost:
            raise PruneHeldUp(url=self._store.url)
        return self._until

    def keep(self, done: threading.Event) -> None:
        """Renew now and then until `done`."""
        while not self._lost and not done.wait(RENEWED):
            # What fails now may succeed next time; if not, the right ends by itself.
            with suppress(WaybillError):
                self.renew()

    def renew(self) -> None:
        if self._replace(renewals=self._facts["renewals"] + 1):
            modified = self._modified()
            # Too late, although nobody took it: writers may have gone past it meanwhile.
            self._lost = modified > self._until
            self._until = modified + VALID
        else:
            self._lost = True

    def give_back(self) -> None:
        """What is lost belongs to another. What is unanswered must lapse."""
        if not self._lost and self.answered:
            with suppress(WaybillError):
                self._replace(ended=True)

    def _replace(self, **facts: Any) -> bool:
        old, self._facts = self._data, {**self._facts, **facts}
        return self._backend.replace(layout.LEASE, self._data, old)

    @property
    def _data(self) -> bytes:
        return canonical(self._facts)

    def _modified(self) -> float:
        stat = self._backend.stat(layout.LEASE)
        if stat is None:
            raise PruneHeldUp(url=self._store.url)
        return stat.modified
