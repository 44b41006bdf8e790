"""A disk that somebody else fills while a bundle is packed onto it: a file system of its own."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.unit.bundle.bundles import (
    FILES,
    PIECE,
    noise,
    of_bundle,
    pack,
    plan,
    small_pieces,
    write,
)
from waybill.errors import MediaFull

SEED = 20261123
TIMES = 40
MOUNT = 'mount -t tmpfs -o size=24m none "$0" && exec "$@"'
"""It has to have the 16 MB that packing leaves free."""


class Intruder:
    """Takes all room but a little of the disk at a moment of the packing."""

    def __init__(self, disk: Path, rng: random.Random, size: int) -> None:
        self._file = disk / "somebody else's"
        self._moment, self._left = rng.randrange(size + 1), 4096 * rng.randrange(4)

    def __call__(self, count: int) -> None:
        before, self._moment = self._moment, self._moment - count
        if self._moment <= 0 < before:
            self._take()

    def _take(self) -> None:
        with self._file.open("wb", buffering=0) as stream:
            try:
                while stream.write(bytes(1 << 16)):
                    pass
            except OSError:
                stream.truncate(stream.tell() - self._left)

    def go(self) -> None:
        self._file.unlink(missing_ok=True)


def pack_often(disk: Path, model: Path, undisturbed: Path) -> None:
    """Prints what is said each time that the disk was full."""
    rng = random.Random(SEED)  # noqa: S311 - not a secret
    for number in range(TIMES):
        out, packing = disk / f"{number}", plan(model)
        intruder = Intruder(disk, rng, packing.size)
        try:
            packing.run([out], intruder)
        except MediaFull as error:
            print(str(error).partition(": ")[2])
            assert not (out / "bundle.json").exists()
            intruder.go()
            pack(model, out)
        intruder.go()
        assert of_bundle(out) == of_bundle(undisturbed)
        shutil.rmtree(out)


def test_it_is_a_full_disk_that_is_told_and_room_lets_a_rerun_finish(tmp_path: Path) -> None:
    model = write(tmp_path / "model", {**FILES, "model.safetensors": noise(20 * PIECE)})
    with small_pieces():
        pack(model, tmp_path / "undisturbed")
    (tmp_path / "disk").mkdir()
    private = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    places = [str(tmp_path / name) for name in ("disk", "model", "undisturbed")]
    again = [sys.executable, "-m", "tests.unit.bundle.test_full_disk", *places]
    command = [*private, "bash", "-c", MOUNT, places[0], *again]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    print(said)
    assert len(said) > TIMES // 2
    assert all(one.endswith("needed, none (No space left on device) free") for one in said), said
    assert len({one.split(" for ")[-1] for one in said}) > 3


if __name__ == "__main__":
    with small_pieces():
        pack_often(*map(Path, sys.argv[1:]))
