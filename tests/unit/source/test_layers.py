"""Layers that are archives: what is listed, what is refused, and how they are read forward."""

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store_contents import noise
from waybill import digest as digests
from waybill.errors import Corrupt, NotAModel, SourceUnreachable, UnsafePath
from waybill.source.layers import Forward, Member, Window, members
from waybill.store.work import parallel

FILES = {"a.txt": b"abc", "sub/b.bin": bytes(range(256)) * 40, "sub/empty": b""}


def tar(files: Mapping[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "a.txt"
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def listed(data: bytes, compressed: bool = False) -> list[Member]:
    return members(io.BytesIO(data), digests.of(data), len(data), compressed, "the layer")


@pytest.mark.parametrize("compressed", [False, True])
def test_each_file_is_listed_with_its_place_and_digest(compressed: bool) -> None:
    plain = tar({f"./{name}": content for name, content in FILES.items()})
    found = listed(gzip.compress(plain) if compressed else plain, compressed)
    assert {one.path: plain[one.at : one.at + one.size] for one in found} == FILES
    assert all(one.digest == digests.of(FILES[one.path]) for one in found)


def test_folders_are_passed_over_and_an_empty_archive_has_no_files() -> None:
    assert listed(tar({"folder": b""}, tarfile.DIRTYPE)) == []
    assert listed(tar({})) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_what_is_no_plain_file_is_refused(kind: bytes) -> None:
    with pytest.raises(UnsafePath, match="it is not a regular file"):
        listed(tar({"a.txt": b"", "link": b""}, kind))


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "a/./b", "new\nline"])
def test_a_path_that_leaves_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        listed(tar({path: b"x"}))


@pytest.mark.parametrize("compressed", [False, True])
def test_any_flipped_byte_is_found(compressed: bool) -> None:
    data = gzip.compress(tar(FILES)) if compressed else tar(FILES)
    for at in range(0, len(data), 97):
        wrong = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        stream = io.BytesIO(wrong)
        with pytest.raises((Corrupt, UnsafePath)):
            members(stream, digests.of(data), len(data), compressed, "the layer")


def test_a_layer_that_ends_early_is_found() -> None:
    data = tar(FILES)
    for end in (0, 100, 600, len(data) - 1):
        with pytest.raises(Corrupt):
            members(io.BytesIO(data[:end]), digests.of(data), len(data), False, "the layer")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_that_is_none_is_not_the_end(compressed: bool) -> None:
    """Whoever made the archive so, and its digest with it: what comes behind must not be missed."""
    good = tar({"a": b"1", "b": b"2"})
    assert [one.path for one in listed(good)] == ["a", "b"]
    for wrong in (good[:1024] + b"x" + good[1025:], good[:1500]):
        with pytest.raises(NotAModel, match="it is no tar archive"):
            listed(gzip.compress(wrong) if compressed else wrong, compressed)


@given(st.binary(max_size=3000), st.booleans())
def test_what_is_no_archive_is_told(data: bytes, compressed: bool) -> None:
    try:
        assert listed(data, compressed) == []
    except NotAModel as error:
        assert "it is no tar archive" in str(error)


class Opener:
    """Opens a compressed layer and counts how often."""

    def __init__(self, data: bytes) -> None:
        self.data, self.times = gzip.compress(data), 0

    def __call__(self) -> io.BytesIO:
        self.times += 1
        return io.BytesIO(self.data)


DATA = bytes(range(256)) * 50


def test_reading_in_the_order_of_the_layer_unpacks_it_once() -> None:
    opener = Opener(DATA)
    layer = Forward(opener, "the layer")
    for at, size in ((0, 100), (100, 0), (500, 1000), (1500, 5000)):
        assert Window(layer, at, size).read() == DATA[at : at + size]
    assert opener.times == 1


@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 800)), max_size=8))
def test_windows_in_any_order_give_their_bytes(spans: list[tuple[int, int]]) -> None:
    layer = Forward(Opener(DATA), "the layer")
    windows = [(Window(layer, at, size), at, size) for at, size in spans]
    for window, at, size in windows:
        assert window.read(size // 2) == DATA[at : at + size // 2]
    for window, at, size in windows:
        assert window.read() == DATA[at + size // 2 : at + size]


def test_windows_that_threads_read_at_once_give_their_bytes() -> None:
    data = noise(200_000)
    layer = Forward(Opener(data), "the layer")

    def read(number: int) -> bytes:
        window = Window(layer, number * 25_000, 25_000)
        return b"".join(iter(lambda: window.read(1_000), b""))

    assert b"".join(parallel(read, range(8))) == data


@pytest.mark.parametrize("damage", [lambda data: data[:-300], lambda data: data[:300] + b"x" * 99])
def test_what_comes_damaged_the_second_time_is_told(damage: Callable[[bytes], bytes]) -> None:
    opener = Opener(noise(2_000))
    opener.data = damage(opener.data)
    with pytest.raises(SourceUnreachable, match="the layer cannot be read: it came damaged"):
        Forward(opener, "the layer").read(0, 2_000)
