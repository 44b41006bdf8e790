"""Media that are damaged, cut short, mixed up or doubled: refused by name, or no harm."""

import itertools
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.faults.conftest import Field
from tests.integration.faults.spoils import (
    Spoil,
    cut_short,
    flipped,
    names_a_file_of,
    overwritten,
)
from tests.unit.bundle.bundles import (
    FILES,
    files_of,
    load,
    new_store,
    noise,
    pack,
    small_bundle,
    small_pieces,
    sound,
    write,
)
from waybill.bundle.format import INDEX
from waybill.bundle.media import Bundle
from waybill.bundle.verify import verify
from waybill.errors import WaybillError
from waybill.store.store import Store

SEED = 20261121
PARTS = ["part-00001.tar", "part-00002.tar", "part-00003.tar"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing here loses its power, so that nothing has to be on disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    with small_pieces():
        yield


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("packed"), FILES)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model's bundle, with the same names and sizes."""
    folder = tmp_path_factory.mktemp("other")
    changed = {path: noise(len(data), 9) for path, data in FILES.items()}
    with small_pieces():
        pack(write(folder / "model", changed), folder / "bundle")
    return folder / "bundle"


def told(store: Store, *media: Path) -> tuple[str, int]:
    """What loading the media into it says, and the exit code; nothing wrong is visible."""
    try:
        load(store, *media)
    except WaybillError as error:
        assert list(store.backend.list("repos/")) == list(store.backend.list("refs/")) == []
        assert sound(store)
        return str(error), error.exit_code
    assert files_of(store) == FILES
    return "", 0


SPOILS: dict[str, tuple[Spoil, int]] = {
    "flipped": (flipped, 1000),
    "cut short": (cut_short, 100),
    "overwritten": (overwritten, 100),
}


@pytest.mark.parametrize("where", ["minio", "directory"])
@pytest.mark.parametrize("what", SPOILS)
def test_whatever_is_damaged_is_named_or_does_no_harm(
    what: str, where: str, field: Field, packed: Path, tmp_path: Path
) -> None:
    """All of them on MinIO, where each file is one PUT; some of them on a directory."""
    spoil, times = SPOILS[what]
    if where == "directory":
        times //= 5

    def new(name: str) -> Store:
        return field.new(name) if where == "minio" else new_store(tmp_path / name)

    rng, tally = random.Random(f"{SEED} {what}"), Counter[str]()  # noqa: S311
    for number in range(times):
        bundle = Path(shutil.copytree(packed, tmp_path / f"bundle-{number}"))
        name = spoil(bundle, rng)
        said, code = told(new(f"store-{number}"), bundle)
        tally[f"{name} {code}"] += 1
        if said:
            assert name in said or names_a_file_of(packed, name, said), said
            assert code == 4, said
        else:
            assert name != INDEX
        if name != INDEX:
            wrong = list(verify(Bundle.open([bundle])).wrong)
            same = (bundle / name).read_bytes() == (packed / name).read_bytes()
            bad = [] if same else [str(bundle / name)]
            assert wrong == bad, "verify sees what loading need not"
        shutil.rmtree(bundle)
        shutil.rmtree(tmp_path / f"store-{number}", ignore_errors=True)
    print(dict(tally))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_parts_under_each_other_s_names_are_refused(
    order: tuple[int, ...], packed: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    for name, at in zip(PARTS, order, strict=True):
        shutil.copy(packed / PARTS[at], bundle / name)
    said, code = told(new_store(tmp_path / "store"), bundle)
    assert code == 4
    assert any(name in said for name, at in zip(PARTS, order, strict=True) if PARTS[at] != name)


def test_parts_in_any_order_and_any_number_of_times_are_loaded(
    packed: Path, tmp_path: Path
) -> None:
    rng = random.Random(SEED)  # noqa: S311
    for number in range(20):
        media = [tmp_path / f"{number}-{one}" for one in range(rng.randint(2, 5))]
        for medium in media:
            medium.mkdir()
            for name in rng.sample([INDEX, *PARTS], rng.randint(0, 4)):
                shutil.copy(packed / name, medium)
        shutil.copytree(packed, media[0], dirs_exist_ok=True)
        rng.shuffle(media)
        assert told(new_store(tmp_path / f"store-{number}"), *media) == ("", 0)


def test_of_a_part_that_is_there_twice_the_whole_one_is_read(packed: Path, tmp_path: Path) -> None:
    cut = Path(shutil.copytree(packed, tmp_path / "cut"))
    for name in PARTS:
        os.truncate(cut / name, 700)
    assert told(new_store(tmp_path / "one"), cut, packed) == ("", 0)
    assert told(new_store(tmp_path / "two"), packed, cut) == ("", 0)


def test_no_mixture_of_two_bundles_is_loaded(packed: Path, other: Path, tmp_path: Path) -> None:
    """The index of one, and of the parts at least one of the other."""
    for number, pick in enumerate(itertools.product([packed, other], repeat=3)):
        if set(pick) == {packed}:
            continue
        bundle = Path(shutil.copytree(packed, tmp_path / f"bundle-{number}"))
        for name, origin in zip(PARTS, pick, strict=True):
            shutil.copy(origin / name, bundle)
        said, code = told(new_store(tmp_path / f"store-{number}"), bundle)
        assert code == 4 and "part-0000" in said


def test_the_index_of_another_medium_is_refused(packed: Path, other: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    shutil.copy(other / INDEX, bundle)
    said, code = told(new_store(tmp_path / "store"), bundle)
    assert code == 4 and "part-0000" in said
    said, code = told(new_store(tmp_path / "both"), packed, bundle)
    assert (said, code) == (f"{bundle} holds another bundle", 2)
