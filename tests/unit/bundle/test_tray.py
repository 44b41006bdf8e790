"""One drive, many media: what is asked for, in which order it may come, and what may go wrong."""

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import DECISION, FILES, files_of
from waybill.bundle import tray
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.format import INDEX
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Loading
from waybill.bundle.tray import Tray
from waybill.errors import Interrupted, PartMissing
from waybill.store.store import Store


class Person:
    """Holds the parts, and inserts one whenever something is asked for."""

    def __init__(self, bundle: Path, drive: Path, order: list[int]) -> None:
        self.drive, self.asked = drive, list[str]()
        self._hand = bundle.parent / "hand"
        shutil.move(bundle, self._hand)
        drive.mkdir()
        shutil.copy(self._hand / INDEX, drive)
        self._parts = [f"part-{number:05}.tar" for number in order]

    def insert(self, text: str = "") -> None:
        self.asked.append(text)
        for old in self.drive.glob("part-*.tar"):
            old.unlink()
        shutil.copy(self._hand / self._parts.pop(0), self.drive)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tray, "POLL", 0.001)


def loading(drive: Path, store: Store, ask: Tray) -> Loading:
    return Loading.plan(BundleCargo(replace(Bundle.open([drive]), tray=ask)), store, DECISION)


def test_media_come_one_by_one(bundle: Path, store: Store, tmp_path: Path) -> None:
    person = Person(bundle, tmp_path / "drive", [1, 2, 3])
    person.insert()
    loading(person.drive, store, Tray(person.insert)).run()
    assert files_of(store) == FILES
    assert person.asked[1:] == [
        "insert the medium with part-00002.tar",
        "insert the medium with part-00003.tar",
    ]


def test_what_is_whole_on_a_later_medium_need_not_wait(
    bundle: Path, store: Store, tmp_path: Path
) -> None:
    person = Person(bundle, tmp_path / "drive", [3, 1, 2])
    person.insert()
    loading(person.drive, store, Tray(person.insert)).run()
    assert files_of(store) == FILES
    assert person.asked[1:] == [
        "insert the medium with part-00001.tar",
        "insert the medium with part-00002.tar",
    ]


def test_without_a_tray_all_is_needed_at_once(bundle: Path, store: Store, tmp_path: Path) -> None:
    person = Person(bundle, tmp_path / "drive", [1])
    person.insert()
    with pytest.raises(PartMissing, match=r"missing: part-00002\.tar"):
        Loading.plan(BundleCargo(Bundle.open([person.drive])), store, DECISION)


def test_a_part_that_is_still_being_copied_is_told_and_waited_for(
    bundle: Path, store: Store
) -> None:
    part = bundle / "part-00002.tar"
    whole, told = part.read_bytes(), list[str]()
    part.unlink()

    def ask(text: str) -> None:
        told.append(text)
        part.write_bytes(whole if "bytes instead of" in text else whole[:100])

    loading(bundle, store, Tray(ask)).run()
    assert files_of(store) == FILES
    assert told[-1] == f"{part} has 100 bytes instead of {len(whole)}"


def test_waiting_can_be_stopped(bundle: Path, store: Store) -> None:
    (bundle / "part-00002.tar").unlink()
    asked = threading.Event()

    def advance(_: int) -> None:
        if asked.is_set():
            raise Interrupted

    with pytest.raises(Interrupted):
        loading(bundle, store, Tray(lambda _: asked.set())).run(advance)


def test_devices_are_read_at_once(
    bundle: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two directories that say they are two devices: their blobs take turns."""
    other = tmp_path / "other"
    other.mkdir()
    shutil.move(bundle / "part-00003.tar", other)
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        if path.parent != other:
            return found
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:10]])

    cargo = BundleCargo(Bundle.open([bundle, other]))
    missing = Loading.plan(cargo, store, DECISION).missing
    monkeypatch.setattr(Path, "stat", stat)
    (batch,) = cargo.batches(missing)
    monkeypatch.undo()
    numbers = [cargo.bundle.index.places[blob.digest][0][0].number for blob in batch]
    assert numbers[:2] in ([1, 3], [3, 1])
    assert len(batch) == len(missing)
