"""Restoring without Waybill what has parts of the usual pieces."""

import os
import shutil
from pathlib import Path

from tests.unit.bundle.bundles import REPO, noise, pack, write
from tests.unit.bundle.test_readme import restore, shell


def test_parts_of_64_mib_pieces_on_two_media_are_restored(tmp_path: Path) -> None:
    source = write(tmp_path / "model", {"a.safetensors": noise(1000), "config.json": b"{}"})
    os.truncate(source / "a.safetensors", 100_000_000)
    index = pack(source, tmp_path / "one", part_size=68_000_000).index
    assert [part.extents[-1].length for part in index.parts] == [64 << 20, 2]
    (tmp_path / "two").mkdir()
    for name in ("bundle.json", "README.txt"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "two")
    (tmp_path / "one" / "part-00002.tar").rename(tmp_path / "two" / "part-00002.tar")
    sums = (tmp_path / "one" / "SHA256SUMS").read_text().splitlines(keepends=True)
    for name, line in zip(("one", "two"), sums, strict=True):
        (tmp_path / name / "SHA256SUMS").write_text(line)
    restore(tmp_path / "restored", tmp_path / "one", tmp_path / "two")
    ours = tmp_path / "restored" / str(REPO) / "a.safetensors"
    shell(f"cmp '{ours}' '{source / 'a.safetensors'}'", tmp_path)
