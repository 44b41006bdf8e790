"""Bundles that are wrong: one sentence each, and the store stays as it was."""

import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import (
    DECISION,
    FILES,
    bytes_below,
    files_of,
    flip,
    load,
    new_store,
    noise,
    pack,
    regions,
    sound,
    write,
)
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.format import spans
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Loading
from waybill.errors import (
    Corrupt,
    DamagedIndex,
    ForeignBundle,
    ForeignPart,
    NotABundle,
    PartMissing,
    PartTruncated,
    Unreadable,
    WaybillError,
)
from waybill.store.store import Store

PART_2 = "part-00002.tar"


def refusal(store: Store, *folders: Path) -> WaybillError:
    """Why nothing was loaded; the store is byte for byte what it was."""
    before = bytes_below(Path(store.backend.root))  # type: ignore[attr-defined]
    with pytest.raises(WaybillError) as caught:
        Loading.plan(BundleCargo(Bundle.open(folders)), store, DECISION)
    assert bytes_below(Path(store.backend.root)) == before  # type: ignore[attr-defined]
    return caught.value


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([2], "part-00002.tar"),
        ([1, 3], "part-00001.tar, part-00003.tar"),
        ([1, 2], "part-00001.tar to part-00002.tar"),
        ([1, 2, 3], "part-00001.tar to part-00003.tar"),
    ],
)
def test_missing_parts_are_named_in_ranges_with_where_they_were_looked_for(
    numbers: list[int], told: str, bundle: Path, store: Store
) -> None:
    for number in numbers:
        (bundle / f"part-{number:05}.tar").unlink()
    error = refusal(store, bundle)
    assert isinstance(error, PartMissing)
    assert str(error) == f"missing: {told}; looked in {bundle}"
    assert (
        error.advice
        == f"insert the medium with {told} and name its directory too; --wait asks for one by one"
    )


def test_ranges_of_parts_are_read_like_people_say_them() -> None:
    assert spans([1, 2, 3, 5, 7, 8]) == (
        "part-00001.tar to part-00003.tar, part-00005.tar, part-00007.tar to part-00008.tar"
    )


@pytest.mark.parametrize("change", [-1, -512, 1])
def test_a_part_of_another_size_is_named(change: int, bundle: Path, store: Store) -> None:
    size = (bundle / PART_2).stat().st_size
    os.truncate(bundle / PART_2, size + change)
    error = refusal(store, bundle)
    assert isinstance(error, PartTruncated)
    assert str(error) == f"{bundle / PART_2} has {size + change} bytes instead of {size}"
    assert error.exit_code == 4


def test_a_flipped_byte_in_a_header_is_found_before_anything_is_sent(
    bundle: Path, store: Store
) -> None:
    member = Bundle.open([bundle]).index.parts[1].extents[0]
    flip(bundle / PART_2, 5)
    error = refusal(store, bundle)
    assert isinstance(error, ForeignPart)
    assert str(error) == f"{bundle / PART_2} is not a part of this bundle: it lacks {member.member}"


def test_a_flipped_byte_in_the_data_names_file_and_part_and_nothing_wrong_becomes_visible(
    bundle: Path, store: Store
) -> None:
    flip(bundle / PART_2, Bundle.open([bundle]).index.parts[1].extents[0].at + 5)
    with pytest.raises(Corrupt) as caught:
        load(store, bundle)
    told = f"model.safetensors of part-00001.tar to part-00002.tar in {bundle} is corrupt"
    assert told in str(caught.value)
    assert list(store.backend.list("repos/")) == list(store.backend.list("refs/")) == []
    assert sound(store)


def test_a_flipped_byte_in_the_padding_harms_no_file(bundle: Path, store: Store) -> None:
    for part in Bundle.open([bundle]).index.parts:
        flip(bundle / part.name, part.size - 1)
    load(store, bundle)
    assert files_of(store) == FILES


@pytest.fixture
def other(small: None, tmp_path: Path) -> Path:  # noqa: ARG001
    """The bundle of another model with the same names and sizes."""
    changed = {path: noise(len(data), 9) for path, data in FILES.items()}
    pack(write(tmp_path / "model-2", changed), tmp_path / "other")
    return tmp_path / "other"


def test_a_part_of_another_bundle_with_the_same_names_and_sizes_is_refused(
    bundle: Path, other: Path, store: Store
) -> None:
    shutil.copy(other / PART_2, bundle)
    with pytest.raises(Corrupt, match=r"Acme/Demo/.* of part-0000.* is corrupt"):
        load(store, bundle)
    assert list(store.backend.list("repos/")) == []
    assert sound(store)


def test_a_part_of_a_bundle_of_other_files_is_refused(
    bundle: Path, tmp_path: Path, store: Store
) -> None:
    renamed = {path + ".x": data for path, data in FILES.items()}
    pack(write(tmp_path / "model-3", renamed), tmp_path / "third")
    shutil.copy(tmp_path / "third" / PART_2, bundle)
    assert isinstance(refusal(store, bundle), ForeignPart)


@pytest.mark.parametrize("order", [1, -1])
def test_media_of_two_bundles_together_are_refused(
    order: int, bundle: Path, other: Path, store: Store
) -> None:
    folders = [bundle, other][::order]
    error = refusal(store, *folders)
    assert isinstance(error, ForeignBundle)
    assert str(error) == f"{folders[1]} holds another bundle"


@pytest.mark.parametrize("order", [1, -1])
def test_a_damaged_index_is_not_taken_for_another_bundle(
    order: int, bundle: Path, tmp_path: Path, store: Store
) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    flip(copy / "bundle.json", 500)
    error = refusal(store, *[bundle, copy][::order])
    assert isinstance(error, DamagedIndex)
    assert str(error).startswith(f"{copy}/bundle.json is damaged: ")


@pytest.mark.parametrize("spoiled", [5, None])
def test_where_a_copy_is_wrong_another_one_is_read(
    spoiled: int | None,
    bundle: Path,
    tmp_path: Path,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of each part another copy, and the first is the wrong one of all but the last."""
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    *parts, last = Bundle.open([bundle]).index.parts
    for part in parts:
        flip(bundle / part.name, part.extents[0].at if spoiled is None else spoiled)
    flip(copy / last.name, last.extents[-1].at)
    load(store, bundle, copy)
    assert files_of(store) == FILES
    told = f" of part-00001.tar in {bundle} is corrupt"
    assert (told in caplog.text) == (spoiled is None)


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_place_without_an_index_is_no_bundle(what: str, tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    error = refusal(store, tmp_path / what)
    assert isinstance(error, NotABundle)
    assert str(error) == f"{tmp_path / what} is not a bundle: no bundle.json is there"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_an_index_that_is_no_file_is_named(
    make: Callable[[Path], None], tmp_path: Path, store: Store
) -> None:
    make(tmp_path / "bundle.json")
    error = refusal(store, tmp_path)
    assert isinstance(error, Unreadable)
    assert str(error) == f"{tmp_path}/bundle.json cannot be read: it is not a regular file"


def test_parts_may_lie_on_any_media_in_any_order(
    bundle: Path, tmp_path: Path, store: Store
) -> None:
    media = [tmp_path / name for name in ("c", "a", "b")]
    for medium, part in zip(media, sorted(bundle.glob("part-*")), strict=True):
        medium.mkdir()
        part.rename(medium / part.name)
    shutil.copy(bundle / "bundle.json", media[0])
    shutil.copy(bundle / "bundle.json", media[1])
    load(store, media[2], media[1], media[0])
    assert files_of(store) == FILES


def test_what_the_store_has_is_not_asked_of_the_media(bundle: Path, store: Store) -> None:
    load(store, bundle)
    for part in bundle.glob("part-*.tar"):
        part.unlink()
    assert Loading.plan(BundleCargo(Bundle.open([bundle])), store, DECISION).missing == ()
    (loaded,) = load(store, bundle)
    assert loaded.notes == ()


def assert_harmless(path: Path, flips: Iterable[int], folder: Path) -> None:
    """Either all is right, for the byte was padding, or there is an error and no revision."""
    whole = path.read_bytes()
    for at in flips:
        flip(path, at)
        store = new_store(folder / f"{path.name}-{at}")
        try:
            load(store, path.parent)
        except WaybillError as error:
            assert isinstance(error, DamagedIndex | Corrupt | ForeignPart) and error.exit_code == 4
            assert list(store.backend.list("repos/")) == list(store.backend.list("refs/")) == []
            assert sound(store)
        else:
            assert path.name != "bundle.json"
            assert files_of(store) == FILES
        path.write_bytes(whole)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_wherever_a_byte_is_flipped_nothing_wrong_is_ever_visible(
    number: int, bundle: Path, tmp_path: Path
) -> None:
    """A byte of each kind; tests/integration/faults/test_wrong_media.py flips a thousand."""
    part = Bundle.open([bundle]).index.parts[number - 1]
    assert_harmless(bundle / part.name, regions(part), tmp_path)


def test_wherever_the_index_is_flipped_nothing_wrong_is_ever_visible(
    bundle: Path, tmp_path: Path
) -> None:
    """The first byte, the last, and the beginnings of fields and of their values."""
    data = (bundle / "bundle.json").read_bytes()
    fields = {one.end() for one in re.finditer(rb'[{,]"(?=[a-zA-Z]+":)', data)}
    values = {one.end() for one in re.finditer(rb'[a-zA-Z]":', data)}
    assert_harmless(bundle / "bundle.json", sorted({0, len(data) - 1} | fields | values), tmp_path)
