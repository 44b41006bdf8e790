"""Real processes killed at several moments of their work: a rerun goes on and ends the same."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.bundle.conftest import SIZES, Process, commit_in, pack, written
from tests.unit.bundle.bundles import MAIN, REPO, of_bundle, sound
from waybill.store.connect import connect
from waybill.store.store import Store

TOTAL = sum(SIZES.values())
MOMENTS = [0.05, 0.3, 0.6, 0.9]
INTERRUPTED = "error: interrupted\nhint: run the same command again: it goes on where it stopped\n"


def after(folder: Path, share: float) -> Callable[[], bool]:
    return lambda: folder.exists() and written(folder) >= share * TOTAL


@pytest.mark.parametrize("share", MOMENTS)
def test_a_killed_pack_is_gone_on_with_and_finished_parts_stay(
    share: float, model: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert pack(model, out).kill_when(after(out, share))
    assert not (out / "bundle.json").exists()
    noted = {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("part-*.tar")
    }
    told = pack(model, out).run()
    assert of_bundle(out) == of_bundle(bundle)
    # A part may have had its name before the journal knew of it: that one is written again.
    kept = [
        name
        for name, facts in noted.items()
        if ((out / name).stat().st_ino, (out / name).stat().st_mtime_ns) == facts
    ]
    assert len(kept) >= len(noted) - 1
    assert not kept or f"{len(kept)} of them from an earlier run" in told


@pytest.mark.parametrize("share", MOMENTS)
def test_a_killed_sideload_into_a_directory_is_gone_on_with_from_another_copy(
    share: float, bundle: Path, directory: Path, tmp_path: Path
) -> None:
    assert Process(("sideload", bundle, "--to", directory)).kill_when(after(directory, share))
    store = connect(str(directory))
    assert store.head(REPO, MAIN) is None
    assert sound(store)
    copy = tmp_path / "another" / "copy"
    shutil.copytree(bundle, copy)
    commit = commit_in(Process(("sideload", copy, "--to", directory)).run())
    assert_loaded(store, commit)
    assert list((directory / "uploads").iterdir()) == []


def assert_loaded(store: Store, commit: str) -> None:
    assert store.resolve(REPO, "main") == commit
    for file in store.manifest(REPO, commit).files:
        store.verify(file.descriptor)


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("share", MOMENTS)
def test_a_killed_pull_is_gone_on_with(
    share: float, model: Path, bundle: Path, directory: Path, tmp_path: Path
) -> None:
    Process(("sideload", bundle, "--to", directory)).run()
    out = tmp_path / "out"
    command = Process(("pull", "Acme/Demo", "--from", directory, "--out", out))
    assert command.kill_when(after(out, share))
    for name in SIZES:
        assert not (out / name).exists() or same(out / name, model / name)
    command.run()
    assert of_bundle(out) == of_bundle(model)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_says_that_a_rerun_goes_on(
    number: int, model: Path, bundle: Path, directory: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert pack(model, out).stop_when(after(out, 0.3), number) == (130, INTERRUPTED)
    pack(model, out).run()
    load = Process(("sideload", out, "--to", directory))
    assert load.stop_when(after(directory, 0.3), number) == (130, INTERRUPTED)
    load.run()
    back = Process(("pull", "Acme/Demo", "--from", directory, "--out", tmp_path / "back"))
    assert back.stop_when(after(tmp_path / "back", 0.3), number) == (130, INTERRUPTED)
    back.run()
    assert of_bundle(tmp_path / "back") == of_bundle(model)
    assert of_bundle(out) == of_bundle(bundle)
