"""A backend that dies at its n-th change, as a machine does that loses its power."""

import os
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from waybill.deliver import environments, pins, values
from waybill.store.base import Backend
from waybill.store.connect import Access, connect
from waybill.store.store import Store

CHANGES = ("create", "replace", "upload", "delete")


class Crash(BaseException):
    """No handler of expected errors may catch it."""


class Fuse:
    """Lets `whole` changes through, dies at the next one and stays dead.

    To die after a change is to die before the next, so one side is enough.
    """

    def __init__(self, whole: int) -> None:
        self._left, self._lock = whole, threading.Lock()
        self.blown = False

    def through(self, change: Callable[..., Any], *given: Any) -> Any:
        with self._lock:
            self._left -= 1
            self.blown = self.blown or self._left < 0
            if self.blown:
                raise Crash
        return change(*given)


class Fused:
    """A backend whose changes go through the fuse."""

    def __init__(self, backend: Backend, fuse: Fuse) -> None:
        self._backend, self._fuse = backend, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        if name not in CHANGES:
            return method
        return lambda *given: self._fuse.through(method, *given)


def install(fuse: Fuse, patch: pytest.MonkeyPatch) -> None:
    """Every store of an environment and every step of writing pins and values gets the fuse."""

    def fused(url: str, access: Access | None = None, **options: Any) -> Store:
        return Store(Fused(connect(url, access).backend, fuse), **options)

    patch.setattr(environments, "connect", fused)
    for module, name in ((pins, "update"), (pins, "sync_directory"), (values, "write")):
        original = getattr(module, name)
        patch.setattr(module, name, lambda *given, step=original: fuse.through(step, *given))
    half_written = SimpleNamespace(fsync=lambda *given: fuse.through(os.fsync, *given))
    patch.setattr(values, "os", half_written)
