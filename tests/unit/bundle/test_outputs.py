"""Where parts go: several media, too little room, what others left, and going on after a crash."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import (
    PART,
    PIECE,
    files_of_at_most,
    noise,
    of_bundle,
    pack,
    plan,
    write,
)
from waybill.bundle import outputs
from waybill.bundle.journal import JOURNAL, Journal
from waybill.bundle.media import Bundle
from waybill.bundle.writer import PartWriter
from waybill.errors import ForeignBundle, MediaFull

pytestmark = pytest.mark.usefixtures("small")
RESERVE = 16_000_000


class Crash(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


def parts(*folders: Path) -> dict[str, tuple[int, int]]:
    """Name -> inode and time of each part: the same while nobody writes it again."""
    found = sorted(path for folder in folders for path in folder.glob("part-*.tar"))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Say how much room for parts each directory has; each is a device of its own."""

    def give(**free: int) -> None:
        for name in free:
            (tmp_path / name).mkdir(exist_ok=True)

        def fake(outs: list[Path]) -> int:
            return sum(free[out.name] for out in outs)

        monkeypatch.setattr(outputs, "_free", fake)
        monkeypatch.setattr(outputs, "_device", lambda out: list(free).index(out.name))

    return give


def test_several_directories_are_filled_in_turn_and_each_explains_itself(
    model: Path, tmp_path: Path, room: Callable[..., None]
) -> None:
    room(one=PART, two=2 * PART)
    outs = [tmp_path / "one", tmp_path / "two"]
    index = pack(model, *outs).index
    assert [list(parts(out)) for out in outs] == [
        ["part-00001.tar"],
        ["part-00002.tar", "part-00003.tar"],
    ]
    for out in outs:
        assert (out / "bundle.json").read_bytes() == index.data
        here = [line.split()[1] for line in (out / "SHA256SUMS").read_text().splitlines()]
        assert here == list(parts(out))
        assert f"Parts in all: 3; on this medium: {len(here)}." in (out / "README.txt").read_text()
    assert all(Bundle.open(outs).path(part) for part in index.parts)


@pytest.mark.parametrize("free", [0, 1, PART - 1, PART, PART + 2000])
def test_what_does_not_fit_is_refused_before_the_first_byte(
    free: int, model: Path, tmp_path: Path, room: Callable[..., None]
) -> None:
    room(out=free)
    needed = plan(model).size
    assert free < needed
    with pytest.raises(MediaFull) as caught:
        pack(model, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path}/out is too small: {needed:,} bytes needed, {free:,} bytes free"
    )
    assert parts(tmp_path / "out") == {}
    assert list((tmp_path / "out").glob("*.partial")) == []


def test_room_on_one_disk_is_not_counted_twice_for_two_directories_on_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk:
        f_frsize = 1
        f_bavail = 2 * RESERVE + plan(model).size - 1

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)
    with pytest.raises(MediaFull):
        pack(model, tmp_path / "one", tmp_path / "two")
    Disk.f_bavail += 1
    pack(model, tmp_path / "one", tmp_path / "two")


def test_a_disk_that_fills_up_meanwhile_is_named_and_a_rerun_goes_on(
    model: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: the first part is the larger one."""
    write(model, {"model.safetensors": noise(6 * PIECE)})
    out, sizes = tmp_path / "out", [part.size for part in plan(model).parts]
    assert sizes[0] == max(sizes)
    with files_of_at_most(sizes[0] - 5000), pytest.raises(MediaFull) as caught:
        pack(model, out)
    assert str(caught.value) == (
        f"{out} is too small: {sizes[0]} bytes for part-00001.tar needed, "
        "none (File too large) free"
    )
    assert not (out / "bundle.json").exists()
    pack(model, out)
    pack(model, tmp_path / "undisturbed")
    assert of_bundle(out) == of_bundle(tmp_path / "undisturbed")


@pytest.mark.parametrize("part", ["part-00001.tar", "part-00009.tar"])
def test_what_an_interrupted_part_took_counts_as_free(
    part: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a packing with smaller parts, which had more of them."""

    class Disk:
        f_frsize = 1
        f_bavail = RESERVE + plan(model).size - 100

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)
    write(tmp_path / "out", {f"{part}.partial": bytes(100)})
    pack(model, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.partial"))


@pytest.mark.parametrize("left", ["bundle.json", "part-00001.tar"])
@pytest.mark.parametrize("place", [0, 1])
def test_what_another_packing_left_is_refused_and_stays(
    left: str, place: int, model: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / "one", tmp_path / "two"]
    write(outs[place], {left: b"precious"})
    with pytest.raises(ForeignBundle, match=f"{outs[place]} holds another bundle"):
        pack(model, *outs)
    assert of_bundle(outs[place]) == {f"0/{left}": of_bundle(outs[place])[f"0/{left}"]}
    assert (outs[place] / left).read_bytes() == b"precious"


def test_a_disk_with_another_bundle_is_refused_when_it_is_added_to_a_packing_that_goes_on(
    model: Path, tmp_path: Path
) -> None:
    pack(model, tmp_path / "mine")
    pack(write(tmp_path / "other", {"a.json": b"{}"}), tmp_path / "theirs")
    before = of_bundle(tmp_path / "theirs")
    with pytest.raises(ForeignBundle, match="theirs holds another bundle"):
        pack(model, tmp_path / "mine", tmp_path / "theirs")
    assert of_bundle(tmp_path / "theirs") == before


def test_a_model_that_changed_since_is_another_bundle(model: Path, tmp_path: Path) -> None:
    pack(model, tmp_path / "out")
    write(model, {"config.json": b"{}"})
    with pytest.raises(ForeignBundle):
        pack(model, tmp_path / "out")


def test_a_finished_bundle_is_not_written_again(model: Path, tmp_path: Path) -> None:
    first = pack(model, tmp_path / "out")
    before = parts(tmp_path / "out")
    again = pack(model, tmp_path / "out")
    assert (first.reused, again.reused) == (0, len(first.index.parts))
    assert again.index == first.index
    assert parts(tmp_path / "out") == before


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: os.truncate(path, 600)])
def test_only_a_part_that_is_gone_or_cut_short_is_written_again(
    number: int, harm: Callable[[Path], object], model: Path, tmp_path: Path
) -> None:
    write(model, {"model.safetensors": noise(7 * PIECE)})
    out, name = tmp_path / "out", f"part-{number:05}.tar"
    first = pack(model, out)
    whole, before = of_bundle(out), parts(out)
    harm(out / name)
    again = pack(model, out)
    assert again.reused == len(first.index.parts) - 1
    assert of_bundle(out) == whole
    after = parts(out)
    assert {key for key in before if before[key] != after[key]} == {name}


def test_parts_lost_before_a_crash_do_not_spoil_the_digest_of_a_cut_file(
    model: Path, tmp_path: Path
) -> None:
    write(model, {"model.safetensors": noise(9 * PIECE)})
    out = tmp_path / "out"
    pack(model, tmp_path / "undisturbed")
    with pytest.raises(Crash):
        plan(model).run([out], crash_after(6 * PIECE))
    assert len(parts(out)) >= 2
    (out / "part-00001.tar").unlink()
    pack(model, out)
    assert of_bundle(out) == of_bundle(tmp_path / "undisturbed")


def crash_after(size: int) -> Callable[[int], None]:
    left = [size]

    def advance(count: int) -> None:
        left[0] -= count
        if left[0] < 0:
            raise Crash

    return advance


def steps() -> Iterator[tuple[object, str]]:
    """Everything packing does to the disk, one call each."""
    yield Journal, "save"
    yield Journal, "add"
    yield PartWriter, "finish"
    yield PartWriter, "header"
    yield PartWriter, "pad"
    yield outputs, "write_whole"
    yield outputs, "write_index"
    yield outputs, "take"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "name"), list(steps()))
def test_a_crash_at_any_call_of_any_step_is_gone_on_with(
    owner: object, name: str, when: str, model: Path, tmp_path: Path
) -> None:
    original = getattr(owner, name)
    pack(model, tmp_path / "undisturbed-1", tmp_path / "undisturbed-2")
    wanted = of_bundle(tmp_path / "undisturbed-1", tmp_path / "undisturbed-2")
    fingerprint = plan(model).fingerprint
    for at in range(100):
        calls, outs = [0], [tmp_path / f"{at}-1", tmp_path / f"{at}-2"]

        def crashing(*args: object, at: int = at, calls: list[int] = calls) -> object:
            calls[0] += 1
            if when == "before" and calls[0] > at:
                raise Crash
            result = original(*args)
            if calls[0] > at:
                raise Crash
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, crashing)
            try:
                pack(model, *outs)
            except Crash:
                finished = parts(*outs)
        noted = Journal(outs[0] / JOURNAL, "a/b from here", fingerprint)
        noted._load()
        pack(model, *outs)
        assert of_bundle(*outs) == wanted
        if calls[0] <= at:
            return
        after = parts(*outs)
        assert all(finished[f"part-{n:05}.tar"] == after[f"part-{n:05}.tar"] for n in noted.parts)
    raise AssertionError("no end of steps")


def test_journal_that_was_damaged_is_not_believed(model: Path, tmp_path: Path) -> None:
    """It would be kept in the index, and signed: digests that nobody has computed."""
    write(model, {"model.safetensors": noise(7 * PIECE)})
    out = tmp_path / "out"
    with pytest.raises(Crash):
        plan(model).run([out], crash_after(5 * PIECE))
    text = (out / JOURNAL).read_text()
    at = text.index("sha256:") + 10
    (out / JOURNAL).write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    with pytest.raises(ForeignBundle):
        pack(model, out)
