"""Packing: deterministic, each byte read once, and only of files that stand still."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.unit.bundle.bundles import (
    FILES,
    PART,
    PIECE,
    REPO,
    of_bundle,
    pack,
    plan,
    write,
)
from tests.unit.sign.making import signer
from waybill import __version__, manifest
from waybill import digest as digests
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.errors import BadValue, BeingPacked, PickleRefused, SourceChanged, SourceCorrupt
from waybill.manifest import git_blob_id
from waybill.source.base import SourceFile
from waybill.source.directory import DirectorySource

pytestmark = pytest.mark.usefixtures("small")


def test_what_no_model_can_have_is_refused_before_a_byte_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "MAX_FILES", 2)
    with pytest.raises(BadValue, match=r"number of files \d+ is not usable: 1 to 2 fit"):
        pack(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Counting(DirectorySource):
    """Counts how often each byte is read; calls `meanwhile` after the first chunk of a file."""

    def __init__(self, root: Path, meanwhile: Callable[[str], object] = lambda _: None) -> None:
        super().__init__(root)
        self.read: Counter[str] = Counter()
        self._meanwhile = meanwhile

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        stream = super().open(file, offset)
        original = stream.read

        def read(size: int = -1) -> bytes:
            data = original(min(size, PIECE))
            self.read[file.path] += len(data)
            self._meanwhile(file.path)
            return data

        stream.read = read  # type: ignore[method-assign]
        return stream


def from_source(source: DirectorySource) -> Packing:
    return Packing.plan(source, REPO, part_size=PART)


def test_the_same_files_give_the_same_bundle_wherever_and_whenever(
    model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    write(other, dict(reversed(FILES.items())))
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    pack(model, tmp_path / "one")
    pack(other, tmp_path / "two")
    assert of_bundle(tmp_path / "one") == of_bundle(tmp_path / "two")
    assert len(list((tmp_path / "one").glob("part-*.tar"))) > 1


def test_each_byte_is_read_once(model: Path, tmp_path: Path) -> None:
    source = Counting(model)
    from_source(source).run([tmp_path / "out"])
    assert source.read == Counter({path: len(data) for path, data in FILES.items()})


def test_progress_is_told_of_every_byte_of_the_files(model: Path, tmp_path: Path) -> None:
    told: list[int] = []
    packing = plan(model)
    packing.run([tmp_path / "out"], told.append)
    assert sum(told) == sum(map(len, FILES.values()))
    assert packing.size == sum(p.stat().st_size for p in (tmp_path / "out").glob("part-*.tar"))


def test_the_index_names_digests_and_git_ids(bundle: Path) -> None:
    index = Bundle.open([bundle]).index
    (revision,) = index.revisions
    assert {file.path: file.digest for file in revision.manifest.files} == {
        path: digests.of(data) for path, data in FILES.items()
    }
    assert not any(blob.pieces for blob in index.blobs.values())
    by_path = revision.manifest.by_path
    assert by_path["config.json"].git_oid == git_blob_id(FILES["config.json"])
    assert by_path["empty.txt"].git_oid == git_blob_id(b"")
    assert by_path["model.safetensors"].git_oid is None


def test_a_signed_index_names_pieces_too(small: None, model: Path, tmp_path: Path) -> None:
    assert small is None
    plan(model).run([tmp_path / "out"], signer=signer())
    weights = FILES["model.safetensors"]
    pieces = {
        digest: blob.pieces
        for digest, blob in Bundle.open([tmp_path / "out"]).index.blobs.items()
        if blob.pieces
    }
    assert pieces == {
        digests.of(weights): tuple(
            digests.of(weights[at : at + PIECE]) for at in range(0, len(weights), PIECE)
        )
    }


def test_every_part_s_digest_is_that_of_its_file(bundle: Path) -> None:
    for part in Bundle.open([bundle]).index.parts:
        assert digests.of((bundle / part.name).read_bytes()) == part.digest


def test_the_statement_says_where_it_came_from_and_what_was_dropped(tmp_path: Path) -> None:
    commit = "c" * 40
    snapshot = tmp_path / "models--Acme--Demo" / "snapshots" / commit
    write(snapshot, {**FILES, "pytorch_model.bin": b"pickle"})
    (revision,) = Packing.plan(DirectorySource(snapshot)).run([tmp_path / "out"]).index.revisions
    statement, *_ = map(json.loads, revision.statements)
    assert statement["subject"][0]["name"] == revision.manifest.commit
    assert statement["predicate"] == {
        "buildDefinition": {
            "buildType": "https://waybill.dev/pack/v1",
            "externalParameters": {
                "source": "hf-cache",
                "repo": "Acme/Demo",
                "commit": commit,
                "license": "apache-2.0",
                "dropped": {"pytorch_model.bin": "safetensors of the same weights are in ./"},
            },
        },
        "runDetails": {"builder": {"id": f"waybill {__version__}"}},
    }
    assert (str(revision.repo), revision.upstream) == ("Acme/Demo", commit)


def test_a_directory_needs_a_repo_to_become(model: Path) -> None:
    with pytest.raises(BadValue, match="--as '' is not usable: the source does not say owner/name"):
        Packing.plan(DirectorySource(model))


def test_pickles_are_refused_unless_allowed(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(PickleRefused, match=f"{model} has only pickled weights for pytorch_model"):
        plan(model)
    assert "pytorch_model.bin" in {
        file.path: file.size for file in plan(model, allow_pickle=True).selection.kept
    }


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def _change(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(b"X")
    os.utime(path, ns=(5, 5))


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": _grow,
    "shrinks": lambda path: os.truncate(path, 3),
    "is emptied": lambda path: os.truncate(path, 0),
    "is written to": _change,
    "is replaced": lambda path: (
        path.with_name("new").write_bytes(path.read_bytes()),
        path.with_name("new").replace(path),
    ),
    "is removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_packed_is_named(
    change: str, path: str, model: Path, tmp_path: Path
) -> None:
    def meanwhile(read: str) -> None:
        if read == path and not done:
            done.append(read)
            CHANGES[change](model / path)

    done: list[str] = []
    with pytest.raises(SourceChanged, match=f"{path} changed while it was packed") as caught:
        from_source(Counting(model, meanwhile)).run([tmp_path / "out"])
    assert str(model) in caught.value.advice
    assert not (tmp_path / "out" / "bundle.json").exists()


def test_a_file_that_is_removed_before_its_turn_is_named(model: Path, tmp_path: Path) -> None:
    packing = plan(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(SourceChanged, match=r"tokenizer\.json changed while it was packed"):
        packing.run([tmp_path / "out"])


class Told(DirectorySource):
    """A source that names digests, as a hub does."""

    def __init__(self, root: Path, **told: str) -> None:
        super().__init__(root)
        self._told = told

    def files(self) -> list[SourceFile]:
        return [
            SourceFile(file.path, file.size, file.stamp, **self._told)  # type: ignore[arg-type]
            if file.path == "model.safetensors"
            else file
            for file in super().files()
        ]


@pytest.mark.parametrize(
    ("name", "wrong"), [("digest", digests.of(b"other")), ("git_oid", git_blob_id(b"other"))]
)
def test_bytes_that_are_not_those_that_the_source_names_are_refused(
    name: str, wrong: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        SourceCorrupt, match=f"model.safetensors from {model} is corrupt: exp.*{wrong}"
    ):
        from_source(Told(model, **{name: wrong})).run([tmp_path / "out"])
    assert not (tmp_path / "out" / "bundle.json").exists()


def test_bytes_that_are_those_that_the_source_names_are_packed(model: Path, tmp_path: Path) -> None:
    data = FILES["model.safetensors"]
    told = Told(model, digest=digests.of(data), git_oid=git_blob_id(data))
    assert from_source(told).run([tmp_path / "out"]).reused == 0


def test_a_disk_that_fails_while_it_is_read_is_named(model: Path, tmp_path: Path) -> None:
    """A folder in the place of a file, put there after the listing, fails in open or read."""
    packing = plan(model)
    (model / "config.json").unlink()
    (model / "config.json").mkdir()
    with pytest.raises(Exception, match=r"config\.json cannot be read: Is a dir"):
        packing.run([tmp_path / "out"])


def test_two_packings_into_one_directory_do_not_mix(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused: list[BeingPacked] = []

    def meanwhile(_: str) -> None:
        if not refused:
            with pytest.raises(BeingPacked, match=f"another waybill pack is writing to {out}") as e:
                pack(model, out)
            refused.append(e.value)

    from_source(Counting(model, meanwhile)).run([out])
    pack(model, tmp_path / "undisturbed")
    assert refused[0].exit_code == 7
    assert of_bundle(out) == of_bundle(tmp_path / "undisturbed")
    assert not (out / ".waybill-pack.lock").exists()


def test_two_packings_that_share_a_second_directory_do_not_mix(model: Path, tmp_path: Path) -> None:
    def meanwhile(_: str) -> None:
        with pytest.raises(BeingPacked, match="shared"):
            pack(model, tmp_path / "b", tmp_path / "shared")

    from_source(Counting(model, meanwhile)).run([tmp_path / "a", tmp_path / "shared"])


def test_an_output_that_is_no_directory_is_refused_with_its_reason(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"a file stands here")
    with pytest.raises(BadValue, match=r"--out '.*out' is not usable: File exists"):
        pack(model, tmp_path / "out")


def test_a_name_given_twice_is_one_directory(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    pack(model, tmp_path / "out", tmp_path / "out", tmp_path / "link")
    pack(model, tmp_path / "once")
    assert of_bundle(tmp_path / "out") == of_bundle(tmp_path / "once")
