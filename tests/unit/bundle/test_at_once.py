"""How many large blobs are sent at once: as many as cores hash and devices give, or four."""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bundle.bundles import DECISION, PIECE, files_of, noise, plan, small_bundle, write
from tests.unit.sign.making import signer
from waybill.bundle import cargo, sideload
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Loading
from waybill.manifest import Descriptor
from waybill.store.base import Advance, Content
from waybill.store.store import Store

LARGE = {f"{number:02}.safetensors": noise(2 * PIECE, number) for number in range(12)}
SMALL = {f"{number:02}.json": noise(PIECE, number) for number in range(12)}


class Together:
    """An upload that goes on when `count` are there, and knows how many there were at most."""

    def __init__(self, upload: Callable[..., bool], count: int) -> None:
        self._upload, self._here, self._lock = upload, 0, threading.Lock()
        self._barrier, self.most = threading.Barrier(count, timeout=20), 0

    def __call__(self, key: str, blob: Descriptor, *arguments: Any) -> bool:
        if blob.size < PIECE:
            return self._upload(key, blob, *arguments)
        self._count(1)
        self._barrier.wait()
        time.sleep(0.01)
        written = self._upload(key, blob, *arguments)
        self._count(-1)
        return written

    def _count(self, step: int) -> None:
        with self._lock:
            self._here += step
            self.most = max(self.most, self._here)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sideload, "_CORES", 2)
    monkeypatch.setattr(sideload, "PIECE", PIECE)


@pytest.mark.parametrize(
    ("files", "devices", "trusted", "count"),
    [
        (LARGE, 1, False, 2),
        (LARGE, 3, False, 3),
        (LARGE, 12, False, 4),
        (LARGE, 1, True, 4),
        (SMALL, 1, False, 4),
    ],
    ids=["cores", "devices", "many devices", "hashed by the server", "small"],
)
def test_large_blobs_at_once(
    tmp_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    small: None,  # noqa: ARG001
    files: dict[str, bytes],
    devices: int,
    trusted: bool,
    count: int,
) -> None:
    """On two cores, from one device and several."""
    plan(write(tmp_path / "model", files)).run([tmp_path / "bundle"], signer=signer())
    bundle = replace(Bundle.open([tmp_path / "bundle"]), trusted=trusted)
    monkeypatch.setattr(cargo, "_device", lambda path: int(path.stem[-5:]) % devices)
    upload = Together(store.backend.upload, count)
    monkeypatch.setattr(store.backend, "upload", upload)
    Loading.plan(BundleCargo(bundle), store, DECISION).run()
    assert upload.most == count
    assert files_of(store) == files


def test_what_waits_for_its_turn_is_not_begun_after_ctrl_c(
    tmp_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    small: None,  # noqa: ARG001
) -> None:
    bundle, begun = Bundle.open([small_bundle(tmp_path, LARGE)]), list[str]()

    def upload(
        key: str, _blob: Descriptor, _content: Content, advance: Advance, *_: object
    ) -> bool:
        begun.append(key)
        if len(begun) == 2:
            time.sleep(0.1)  # So that the others wait by then.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while True:
            advance(0)
            time.sleep(0.001)

    monkeypatch.setattr(store.backend, "upload", upload)
    with pytest.raises(KeyboardInterrupt):
        Loading.plan(BundleCargo(bundle), store, DECISION).run()
    assert len(begun) == 2
