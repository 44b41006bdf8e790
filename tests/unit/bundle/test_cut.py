"""How files are cut into parts: each rule as a property over any files."""

import itertools
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bundle.bundles import PART, PIECE, REPO, bytes_below, pack, small_pieces
from waybill.bundle.cut import MOST_PARTS, PART_SIZE, PartPlan, cut
from waybill.bundle.format import BLOCK, TAR_END, member_header, padding
from waybill.errors import BadValue, UnsafePath

GIB = 1 << 30
HEADER = 512

segments = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"),
    min_size=1,
    max_size=60,
).filter(lambda text: text not in (".", "..") and len(text.encode()) <= 200)
paths = st.lists(segments, min_size=1, max_size=3).map("/".join)
sizes = st.one_of(
    st.integers(0, 6 * PIECE),
    st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE]),
    st.builds(lambda n: PART - TAR_END - n * HEADER, st.integers(0, 4)),
)
listings = st.dictionaries(paths, sizes, min_size=1, max_size=12).map(lambda d: sorted(d.items()))
part_sizes = st.one_of(st.integers(PIECE + 4096, 8 * PIECE), st.just(PART))


def cut_small(files: list[tuple[str, int]], part_size: int = PART) -> list[PartPlan]:
    with small_pieces():
        return cut(files, str(REPO), part_size)


@given(listings, part_sizes)
def test_every_byte_of_every_file_is_in_exactly_one_slice(
    files: list[tuple[str, int]], part_size: int
) -> None:
    ends = dict.fromkeys(dict(files), 0)
    seen = set()
    for part in cut_small(files, part_size):
        for piece in part.slices:
            assert piece.offset == ends[piece.path]
            ends[piece.path] += piece.length
            seen.add(piece.path)
    assert ends == dict(files)
    assert seen == set(ends)


@given(listings, part_sizes)
def test_no_part_is_larger_than_asked_and_slices_lie_one_after_the_other(
    files: list[tuple[str, int]], part_size: int
) -> None:
    for number, part in enumerate(cut_small(files, part_size), 1):
        assert part.number == number
        assert part.size <= part_size
        end = 0
        for piece in part.slices:
            assert piece.at == end + len(member_header(piece.member, piece.length))
            end = piece.at + piece.length + padding(piece.length)
        assert part.size == end + TAR_END
        assert part.size % BLOCK == 0


@given(listings, part_sizes)
def test_files_are_cut_at_multiples_of_a_piece_only(
    files: list[tuple[str, int]], part_size: int
) -> None:
    for part in cut_small(files, part_size):
        for piece in part.slices:
            assert piece.offset % PIECE == 0


@given(listings, part_sizes)
def test_a_file_in_one_slice_has_its_own_name_and_a_cut_one_names_that_sort_by_offset(
    files: list[tuple[str, int]], part_size: int
) -> None:
    slices = [piece for part in cut_small(files, part_size) for piece in part.slices]
    for path, size in files:
        mine = [piece for piece in slices if piece.path == path]
        if len(mine) == 1:
            assert [(piece.member, piece.length) for piece in mine] == [(f"{REPO}/{path}", size)]
        else:
            names = [piece.member for piece in mine]
            assert names == [f"{REPO}/{path}.{piece.offset:020}" for piece in mine]
            assert sorted(names) == names


@given(listings)
def test_no_part_could_have_held_more(files: list[tuple[str, int]]) -> None:
    """The next slice starts a part because it, or one piece of it, did not fit in the last."""
    parts = cut_small(files)
    for part, following in itertools.pairwise(parts):
        first = following.slices[0]
        room = PART - part.size
        name = member_header(f"{first.member}.{first.offset:020}", PART)
        needed = min(first.length, PIECE)
        assert room < len(name) + needed + padding(needed)


def test_the_size_of_every_part_is_known_before_it_is_written(tmp_path: Path) -> None:
    files = {
        "a" * 219: b"long name",
        "b/" * 100 + "deep": b"deep",
        "\u6a21\u578b/\u00fc.safetensors": bytes(5 * PIECE + 1),
        "empty": b"",
        "exact": bytes(PIECE),
    }
    source = tmp_path / "model"
    for path, data in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    with small_pieces():
        packed = pack(source, tmp_path / "out")
    for part in packed.index.parts:
        assert (tmp_path / "out" / part.name).stat().st_size == part.size
        with tarfile.open(tmp_path / "out" / part.name) as archive:
            members = archive.getmembers()
        assert [(m.name, m.size, m.offset_data) for m in members] == [
            (extent.member, extent.length, extent.at) for extent in part.extents
        ]
        assert all(member.isreg() for member in members)
    assert len(bytes_below(tmp_path / "out")) == len(packed.index.parts) + 4


def test_a_file_that_fills_a_part_to_the_last_byte_is_not_cut() -> None:
    exact = PART - TAR_END - HEADER
    assert [part.size for part in cut_small([("a", exact)])] == [PART]
    assert len(cut_small([("a", exact + 1)])) == 2


def test_an_empty_file_needs_a_header_only_and_goes_on_when_that_does_not_fit() -> None:
    full = PART - TAR_END - 2 * HEADER
    assert len(cut_small([("a", full), ("b", 0)])) == 1
    parts = cut_small([("a", full), ("b", 0), ("c", 0)])
    assert [[piece.path for piece in part.slices] for part in parts] == [["a", "b"], ["c"]]


def test_files_are_cut_at_64_mib_when_parts_have_their_usual_size() -> None:
    parts = cut([("weights", 16 * GIB), ("z", 5)], str(REPO), PART_SIZE)
    assert [part.slices[0].offset % (64 << 20) for part in parts] == [0] * 5
    assert all(part.size <= PART_SIZE for part in parts)
    assert parts[0].slices[0].length == 59 * (64 << 20)
    assert parts[-1].slices[-1].member == f"{REPO}/z"


def test_a_file_above_eight_gib_fits_into_one_part_when_that_is_large_enough() -> None:
    (part,) = cut([("weights", 10 * GIB)], str(REPO), 16 * GIB)
    assert part.slices[0].at == len(member_header(f"{REPO}/weights", 10 * GIB)) > HEADER


@pytest.mark.parametrize("size", [0, 1, 64 << 20, (64 << 20) + 65535])
def test_a_part_size_that_cannot_hold_one_piece_is_refused(size: int) -> None:
    with pytest.raises(BadValue, match=rf"--part-size {size} is not usable: it is below 67174400"):
        cut([("a", 1)], str(REPO), size)


@pytest.mark.parametrize("files", [[("a", 10**18)], [("a", MOST_PARTS * PART), ("b", 1)]])
def test_what_needs_more_parts_than_there_are_numbers_is_refused_at_once(
    files: list[tuple[str, int]],
) -> None:
    with pytest.raises(BadValue, match=f"--part-size {PART} is not usable: 99,999 parts of it are"):
        cut_small(files)


def test_a_name_that_is_too_long_once_an_offset_is_added_is_refused() -> None:
    assert cut_small([("n" * 240, 5)])
    assert cut_small([("n" * 219, PART)])
    with pytest.raises(UnsafePath, match="longer than file systems allow"):
        cut_small([("n" * 220, PART)])


def test_a_file_with_the_name_of_another_one_s_extent_is_refused() -> None:
    with pytest.raises(UnsafePath, match="two members would have this name"):
        cut_small([("a", PART), (f"a.{0:020}", 5)])
