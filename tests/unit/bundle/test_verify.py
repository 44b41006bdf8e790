"""Verifying a bundle: every byte of every part that is there, and the blame where it belongs."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import (
    FILES,
    PIECE,
    flip,
    noise,
    pack,
    regions,
    rewrite_index,
    write,
)
from waybill import digest as digests
from waybill.bundle.lanes import HASHES
from waybill.bundle.media import Bundle
from waybill.bundle.verify import Findings, verify
from waybill.errors import Corrupt, ForeignPart, Interrupted, PartTruncated


def found(*folders: Path) -> Findings:
    return verify(Bundle.open(folders))


def test_a_good_bundle_has_nothing_wrong_and_every_byte_is_told(bundle: Path) -> None:
    told: list[int] = []
    findings = verify(Bundle.open([bundle]), told.append)
    sizes = [path.stat().st_size for path in bundle.glob("part-*.tar")]
    assert findings == Findings(good=3, bytes=sum(sizes))
    assert sum(told) == sum(sizes)


def test_parts_that_are_elsewhere_are_listed_and_the_others_checked(bundle: Path) -> None:
    (bundle / "part-00001.tar").unlink()
    findings = found(bundle)
    assert (findings.missing, findings.good, findings.wrong) == ([1], 2, {})


def assert_found(path: Path, flips: Iterable[int]) -> None:
    whole = path.read_bytes()
    for at in flips:
        flip(path, at)
        assert list(found(path.parent).wrong) == [str(path)]
        path.write_bytes(whole)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_copies_of_a_part_each_is_checked(order: int, bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    flip(copy / "part-00001.tar", -1)
    os.truncate(copy / "part-00002.tar", 700)
    findings = found(*[bundle, copy][::order])
    assert list(findings.wrong) == [f"{copy}/part-00001.tar", f"{copy}/part-00002.tar"]
    assert (findings.missing, findings.good) == ([], 1)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_wherever_a_byte_is_flipped_that_part_and_no_other_is_wrong(
    number: int, bundle: Path
) -> None:
    """A byte of each kind; tests/integration/faults/test_wrong_media.py flips a thousand."""
    part = Bundle.open([bundle]).index.parts[number - 1]
    assert_found(bundle / part.name, regions(part))


def test_a_bad_file_is_named_and_a_bad_header_or_padding_by_its_part(bundle: Path) -> None:
    one = Bundle.open([bundle]).index.parts[0]
    path = bundle / one.name
    whole = path.read_bytes()
    cases = {
        one.extents[0].at: f"^{one.extents[0].member} of {one.name} is corrupt",
        one.size - 1: f"^{path} is corrupt: expected {one.digest}",
        5: "is not a part of this bundle: it lacks Acme/Demo/1_Pooling",
    }
    for at, told in cases.items():
        flip(path, at)
        with pytest.raises((Corrupt, ForeignPart), match=told):
            raise found(bundle).wrong[str(path)]
        path.write_bytes(whole)


def test_a_truncated_part_is_named_and_the_rest_is_still_checked(bundle: Path) -> None:
    os.truncate(bundle / "part-00001.tar", 700)
    flip(bundle / "part-00003.tar", -1)
    wrong = found(bundle).wrong
    assert [(name, type(error)) for name, error in wrong.items()] == [
        (f"{bundle}/part-00001.tar", PartTruncated),
        (f"{bundle}/part-00003.tar", Corrupt),
    ]


def test_a_digest_that_the_index_has_wrong_is_found_though_the_part_is_right(
    bundle: Path,
) -> None:
    import json

    facts, weights = json.loads((bundle / "bundle.json").read_text()), FILES["model.safetensors"]
    wrong = ["sha256:" + "0" * 64] * len(digests.piece_spans(len(weights)))
    facts["blobs"][digests.of(weights)]["pieces"] = wrong
    rewrite_index(bundle, facts)
    with pytest.raises(Corrupt, match="expected the index's pieces, found others"):
        raise found(bundle).wrong[f"{bundle}/part-00002.tar"]


def test_equal_files_in_one_part_and_across_parts_are_all_checked(
    small: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    data = noise(4 * PIECE)
    files = {"a": data, "b": data, "c": b"x", "d": b"x", "e": b"", "f": b""}
    pack(write(tmp_path / "model", files), tmp_path / "out")
    assert found(tmp_path / "out").wrong == {}
    for name in ("part-00001.tar", "part-00002.tar", "part-00003.tar"):
        path = tmp_path / "out" / name
        flip(path, 2000)
        assert list(found(tmp_path / "out").wrong) == [str(path)]
        flip(path, 2000)


def test_of_many_small_files_each_is_checked(
    small: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    """More than are hashed before lanes are waited for, in two parts."""
    files = {f"{number:04}.txt": b"%d" % number for number in range(3 * HASHES)}
    packed = pack(write(tmp_path / "model", files), tmp_path / "out", part_size=700_000)
    revision = packed.index.revisions[0].manifest
    assert {file.path: file.digest for file in revision.files} == {
        path: digests.of(data) for path, data in files.items()
    }
    assert found(tmp_path / "out").wrong == {}
    part, _ = packed.index.parts
    for extent in (part.extents[0], part.extents[HASHES], part.extents[-1]):
        flip(tmp_path / "out" / part.name, extent.at)
        (wrong,) = found(tmp_path / "out").wrong.values()
        assert str(wrong).startswith(f"{extent.member} of {part.name} is corrupt")
        flip(tmp_path / "out" / part.name, extent.at)


def test_verifying_can_be_stopped(bundle: Path) -> None:
    def stop(_: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        verify(Bundle.open([bundle]), stop)
