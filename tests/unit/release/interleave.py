"""Two at one store: one is stopped before a call of its backend while the other runs whole."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from waybill.errors import WaybillError
from waybill.store import lease
from waybill.store.base import Backend
from waybill.store.store import Store

WEEK = 8 * 86_400
_SOON = 20
"""Seconds until a test that hangs gives up."""


class Gate:
    """Lets `free` calls through and holds all others until it is opened."""

    def __init__(self, free: int) -> None:
        self._left, self._lock = free, threading.Lock()
        self.reached, self._open = threading.Event(), threading.Event()

    def open(self) -> None:
        self._open.set()

    def through(self) -> None:
        with self._lock:
            self._left -= 1
            held = self._left < 0
        if held:
            self.reached.set()
            assert self._open.wait(_SOON), "nobody opened the gate"


class Gated:
    """A backend each of whose calls goes through the gate."""

    def __init__(self, backend: Backend, gate: Gate) -> None:
        self._backend, self._gate = backend, gate

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        if not callable(value):
            return value

        def call(*given: Any, **named: Any) -> Any:
            self._gate.through()
            return value(*given, **named)

        return call


def gated(store: Store, gate: Gate) -> Store:
    """The same store through the gate."""
    made = Store(Gated(store.backend, gate))
    # One that waits while it computes a cached property holds up those of all others.
    made.__dict__["facts"] = store.facts
    return made


class Actor(threading.Thread):
    """Runs `act` beside the test; `error` is what it raised of ours."""

    def __init__(self, act: Callable[[], object], gate: Gate) -> None:
        super().__init__(daemon=True)
        self._act, self.gate = act, gate
        self.error: WaybillError | None = None
        self.bug: BaseException | None = None

    def run(self) -> None:
        try:
            self._act()
        except WaybillError as error:
            self.error = error
        except BaseException as bug:
            self.bug = bug
        finally:
            self.gate.reached.set()

    def stopped(self) -> bool:
        """Wait for the gate; False when the act was over before it."""
        assert self.gate.reached.wait(_SOON)
        return self.is_alive() and self.bug is None

    def finish(self) -> WaybillError | None:
        self.gate.open()
        self.join(_SOON)
        assert not self.is_alive()
        if self.bug:
            raise self.bug
        return self.error


def no_waiting(patch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """A writer that would wait for the lease lets the other one go on instead."""

    def sleep(_: float) -> None:
        meanwhile()
        time.sleep(0.001)

    patch.setattr(lease, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))


def age(folder: Path, seconds: float = WEEK) -> None:
    """Everything below was written that much earlier."""
    for path in folder.rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - seconds
            os.utime(path, (then, then))
