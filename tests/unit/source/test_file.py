"""A single file as a source, such as a GGUF."""

import os
from pathlib import Path

import pytest

from waybill.errors import SourceChanged, Unreadable, UnsafePath
from waybill.source.directory import DirectorySource, FileSource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "demo-Q4_K_M.gguf").write_bytes(b"GGUF model")
    return tmp_path / "demo-Q4_K_M.gguf"


def test_a_file_is_one_file_under_its_own_name(path: Path) -> None:
    source = FileSource(path)
    (file,) = source.files()
    assert (file.path, file.size, str(source)) == (path.name, 10, str(path))
    with source.open(file) as whole, source.open(file, 5) as rest:
        assert (whole.read(), rest.read()) == (b"GGUF model", b"model")
    assert source.is_unchanged(file)
    assert not source.holds(path.parent)
    assert source.origin.source == "file"


def test_a_link_to_a_file_has_the_name_of_the_link(path: Path) -> None:
    (path.parent / "latest.gguf").symlink_to(path.name)
    (file,) = FileSource(path.parent / "latest.gguf").files()
    assert (file.path, file.size) == ("latest.gguf", 10)


@pytest.mark.parametrize(
    "source", [FileSource(Path("/proc/version")), DirectorySource(Path("/proc/sys/kernel/random"))]
)
def test_bytes_of_a_file_whose_size_is_0_are_not_left_out_without_a_word(
    source: FileSource | DirectorySource,
) -> None:
    with pytest.raises(UnsafePath, match="it has bytes, and its size is 0"):
        source.files()


def test_what_is_no_regular_file_is_refused(path: Path) -> None:
    os.mkfifo(path.parent / "pipe")
    for name in (".", "pipe", "missing"):
        with pytest.raises(Unreadable):
            FileSource(path.parent / name)


def test_a_file_that_changed_is_known(path: Path) -> None:
    source = FileSource(path)
    (file,) = source.files()
    path.write_bytes(b"other")
    assert not source.is_unchanged(file)
    with pytest.raises(SourceChanged):
        source.open(file)
    path.unlink()
    with pytest.raises(SourceChanged):
        source.open(file)


def test_a_link_that_is_moved_after_the_listing_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    inside = tmp_path / "model" / "a.txt"
    inside.write_bytes(b"inside")
    source = DirectorySource(tmp_path / "model")
    (file,) = source.files()
    inside.unlink()
    inside.symlink_to(tmp_path / "secret")
    with pytest.raises(SourceChanged, match=r"a\.txt changed while it was packed"):
        source.open(file)
