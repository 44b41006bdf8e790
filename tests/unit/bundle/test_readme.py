"""Restoring without Waybill: the README's own command lines, run by a real shell."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import (
    FILES,
    PART,
    PIECE,
    REPO,
    bytes_below,
    noise,
    pack,
    small_pieces,
    write,
)
from waybill.bundle.base import Base
from waybill.bundle.pack import Packing
from waybill.source.directory import DirectorySource

EXTENT = re.compile(r"\.\d{20}$")


def command_lines(readme: Path) -> list[str]:
    """The lines that the README tells people to run, but those of Waybill itself."""
    return re.findall(r"^  (.+)$", readme.read_text(), re.MULTILINE)


def shell(line: str, folder: Path) -> str:
    ran = subprocess.run(
        ["bash", "-euc", line], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def restore(target: Path, *media: Path) -> None:
    """All media copied into one directory, as the README says; then its lines in order."""
    for medium in media:
        shutil.copytree(medium, target, dirs_exist_ok=True)
    lines = command_lines(media[0] / "README.txt")
    (sums, *others) = lines
    assert sums == "sha256sum -c SHA256SUMS"
    for medium in media:
        assert ": OK" in shell(sums, medium)
    for line in others:
        said = shell(line, target)
    restored = [path for path in bytes_below(target / str(REPO)) if not EXTENT.search(path)]
    assert said.count(": OK") == len(restored)


NAMES = {
    'it\'s $HOME; `rm` "x" *.txt': noise(4 * PIECE, 2),
    "-rf": b"dash",
    "weights.1": b"not an extent of weights",
    "weights": noise(4 * PIECE, 3),
    "weights.00000": b"nor this",
    "\u6a21\u578b/\u00fc.safetensors": noise(3 * PIECE, 4),
    "n" * 219: noise(3 * PIECE, 5),
    "same": noise(4 * PIECE, 3),
    "z-small": noise(PIECE - 100, 6),
    "z-small-2": noise(PIECE - 100, 7),
}


@pytest.mark.parametrize("files", [FILES, NAMES, {"one": b"1"}, {"empty": b""}])
@pytest.mark.parametrize("part_size", [2 * PIECE, PART, PART + 512, 100 * PIECE])
def test_tar_cat_and_sha256sum_alone_restore_every_file(
    files: dict[str, bytes], part_size: int, tmp_path: Path
) -> None:
    with small_pieces():
        pack(write(tmp_path / "model", files), tmp_path / "out", part_size=part_size)
    restore(tmp_path / "restored", tmp_path / "out")
    found = tmp_path / "restored" / str(REPO)
    for path, data in files.items():
        assert (found / path).read_bytes() == data


def test_changes_without_a_part_are_restored_from_what_came_before(
    bundle: Path, model: Path, tmp_path: Path
) -> None:
    """Nothing is new but the revision: there are no parts to unpack, and no sums of them."""
    restore(tmp_path / "restored", bundle)
    (model / "copy.json").write_bytes(FILES["config.json"])
    base = Base.of_bundle([bundle])
    packed = Packing.plan(DirectorySource(model), REPO, base=base).run([tmp_path / "delta"])
    assert packed.index.parts == ()
    shutil.copytree(tmp_path / "delta", tmp_path / "restored", dirs_exist_ok=True)
    (tmp_path / "restored" / str(REPO) / "copy.json").write_bytes(FILES["config.json"])
    (line,) = command_lines(tmp_path / "delta/README.txt")
    assert "copy.json: OK" in shell(line, tmp_path / "restored")


def test_gnu_tar_lists_regular_files_only_and_extracts_no_other_name(bundle: Path) -> None:
    for part in bundle.glob("part-*.tar"):
        lines = shell(f"LC_ALL=C.UTF-8 tar -tvf {part.name}", bundle).splitlines()
        assert lines
        for line in lines:
            assert line.startswith("-rw-r--r-- 0/0 ")
            assert line.split("1970-01-01 00:00 ")[1].startswith("Acme/Demo/")
