"""Files written past the page cache, on file systems that take that and on others."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bundle.bundles import pack, small_pieces
from waybill.bundle.blocks import BlockFile
from waybill.bundle.media import Bundle
from waybill.bundle.verify import verify
from waybill.digest import CHUNK
from waybill.errors import Unwritable

WRITE = """
import sys
from pathlib import Path
from waybill.bundle.blocks import BlockFile
file = BlockFile(Path(sys.argv[1]) / "file")
try:
    for number in range(int(sys.argv[2])):
        file.write(bytes([number % 256]) * 1000_003)
    file.sync()
except OSError as error:
    print(error.errno)
file.close()
"""


def on_a(kind: str, folder: Path, count: int) -> subprocess.CompletedProcess[str]:
    """Write `count` times 1,000,003 bytes to a new file system, and copy the file from it."""
    private = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    mounted = 'mount -t "$0" -o size=4m none "$1" && "$2" -c "$3" "$1" "$4" && cp "$1/file" "$5"'
    words = [kind, folder, sys.executable, WRITE, count, folder.with_name("copy")]
    folder.mkdir()
    return subprocess.run(
        [*private, "bash", "-c", mounted, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


@given(st.lists(st.binary(max_size=9000), max_size=12))
def test_every_byte_is_written_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "file"
    with small_pieces():
        file = BlockFile(path)
        for piece in pieces:
            file.write(piece)
        file.sync()
        file.close()
    assert path.read_bytes() == b"".join(pieces)


def test_writes_are_direct_until_the_end(tmp_path: Path) -> None:
    file = BlockFile(tmp_path / "file")
    file.write(bytes(CHUNK + 1))
    assert fcntl.fcntl(file._file, fcntl.F_GETFL) & os.O_DIRECT
    file.sync()
    file.close()
    assert (tmp_path / "file").stat().st_size == CHUNK + 1


def test_a_file_system_without_direct_writes_gets_ordinary_ones(tmp_path: Path) -> None:
    ramfs = on_a("ramfs", tmp_path / "disk", 5)
    assert (ramfs.returncode, ramfs.stdout) == (0, ""), ramfs.stderr
    wanted = b"".join(bytes([number]) * 1000_003 for number in range(5))
    assert (tmp_path / "copy").read_bytes() == wanted


def test_a_full_disk_is_told_also_of_what_was_written_before(tmp_path: Path) -> None:
    full = on_a("tmpfs", tmp_path / "disk", 6)
    assert full.stdout.split() == [str(errno.ENOSPC)], full.stderr


@pytest.mark.parametrize("most", [4096, 1000, 1])
def test_what_a_write_leaves_is_written_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Writes that end early are legal: at a sector's end, and not at one."""
    whole, length = os.write, CHUNK + 700
    short = (lambda file, data: whole(file, data[:most])) if most > 1 else _once(whole)
    monkeypatch.setattr("waybill.bundle.blocks.os.write", short)
    data = os.urandom(length)
    file = BlockFile(tmp_path / "file")
    file.write(data)
    file.sync()
    file.close()
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == data


def _once(whole: Callable[[int, memoryview], int]) -> Callable[[int, memoryview], int]:
    lengths = iter([1])
    return lambda file, data: whole(file, data[: next(lengths, len(data))])


def test_a_medium_that_fails_is_not_called_a_full_one(
    small: None,  # noqa: ARG001
    tmp_path: Path,
    model: Path,
) -> None:
    def broken(_file: int, _data: memoryview) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waybill.bundle.blocks.os.write", broken)
        with pytest.raises(Unwritable) as caught:
            pack(model, out)
    assert str(caught.value) == f"{out}/part-00001.tar cannot be written: Input/output error"
    assert pack(model, out).reused == 0
    assert verify(Bundle.open([out])).wrong == {}


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BlockFile(tmp_path / "nowhere" / "file")
