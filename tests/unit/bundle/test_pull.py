"""Pulling a revision into a directory: verified, gone on with, and never outside of it."""

from pathlib import Path

import pytest

from tests.unit.bundle.bundles import (
    FILES,
    PIECE,
    REPO,
    bytes_below,
    files_of_at_most,
    load,
    new_store,
    noise,
    pack,
    write,
)
from tests.unit.bundle.test_sideload import Crash
from waybill.errors import BadValue, BlobMissing, Corrupt, Interrupted, MediaFull, UnsafePath
from waybill.manifest import Manifest
from waybill.store import layout
from waybill.store.pull import MANIFEST, Pulled, pull
from waybill.store.store import Store


@pytest.fixture
def loaded(bundle: Path, store: Store) -> Manifest:
    load(store, bundle)
    return store.manifest(REPO, store.resolve(REPO, "main"))


def contents(out: Path) -> dict[str, bytes]:
    """Without what `pull` notes for itself."""
    return {path: (out / path).read_bytes() for path in bytes_below(out, but=[".cache"])}


def blob_of(store: Store, manifest: Manifest, path: str) -> Path:
    root = Path(store.backend.root)  # type: ignore[attr-defined]
    return root / layout.blob(manifest.by_path[path].digest)


def test_every_file_arrives_and_every_byte_is_told(
    loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    told: list[int] = []
    pulled = pull(store, loaded, tmp_path / "out", told.append)
    size = sum(map(len, FILES.values()))
    assert contents(tmp_path / "out") == FILES
    assert pulled == Pulled(len(FILES), 0, size)
    assert sum(told) == size


@pytest.mark.usefixtures("small")
def test_a_lora_adapter_arrives_whole(store: Store, tmp_path: Path) -> None:
    adapter = {
        "adapter_config.json": b'{"base_model_name_or_path": "acme/base", "peft_type": "LORA"}',
        "adapter_model.safetensors": noise(3 * PIECE),
        "checkpoint-1/adapter_model.safetensors": noise(PIECE, 1),
    }
    left = {"adapter_model.bin": noise(PIECE, 2), "training_args.bin": b"pickle"}
    packed = pack(write(tmp_path / "adapter", {**adapter, **left}), tmp_path / "bundle")
    (loaded,) = load(store, tmp_path / "bundle")
    assert loaded.commit == packed.index.revisions[0].manifest.commit
    pull(store, store.manifest(REPO, loaded.commit), tmp_path / "out")
    assert contents(tmp_path / "out") == adapter


def test_what_is_there_and_right_is_kept_and_the_rest_replaced(
    loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    out = write(tmp_path / "out", {**FILES, "config.json": b"old", "mine.txt": b"mine"})
    (out / "copy.json").write_bytes(FILES["copy.json"][::-1])
    (out / "tokenizer.json").rename(out / "elsewhere")
    (out / "tokenizer.json").symlink_to("elsewhere")
    kept = (out / "model.safetensors").stat().st_ino
    pulled = pull(store, loaded, out)
    assert (pulled.fetched, pulled.kept) == (3, len(FILES) - 3)
    assert (out / "model.safetensors").stat().st_ino == kept
    assert not (out / "tokenizer.json").is_symlink()
    found = contents(out)
    assert found.pop("mine.txt") == b"mine"
    assert found.pop("elsewhere") == FILES["tokenizer.json"]
    assert found == FILES


def test_a_name_of_240_bytes_arrives(small: None, tmp_path: Path, store: Store) -> None:  # noqa: ARG001
    files = {"n" * 240: b"long"}
    pack(write(tmp_path / "model", files), tmp_path / "bundle")
    load(store, tmp_path / "bundle")
    pull(store, store.manifest(REPO, store.resolve(REPO, "main")), tmp_path / "out")
    assert contents(tmp_path / "out") == files


@pytest.mark.parametrize("harm", ["flip", "truncate"])
def test_a_wrong_blob_is_named_and_no_file_appears(
    harm: str, loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    blob = blob_of(store, loaded, "model.safetensors")
    data = blob.read_bytes()
    blob.write_bytes(data[:100] if harm == "truncate" else b"X" + data[1:])
    with pytest.raises(Corrupt, match=r"model\.safetensors from file://.* is corrupt"):
        pull(store, loaded, tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_missing_blob_is_named(loaded: Manifest, store: Store, tmp_path: Path) -> None:
    blob_of(store, loaded, "config.json").unlink()
    with pytest.raises(BlobMissing, match=loaded.by_path["config.json"].digest):
        pull(store, loaded, tmp_path / "out")


def test_a_folder_that_is_a_link_is_not_followed(
    loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1_Pooling").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafePath, match=r"'1_Pooling' in .*/out is refused: it is a link"):
        pull(store, loaded, tmp_path / "out")
    assert bytes_below(tmp_path / "outside") == {}


@pytest.mark.parametrize("place", ["config.json", "model.safetensors"])
def test_a_folder_in_the_place_of_a_file_is_named(
    place: str, loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "out" / place).mkdir(parents=True)
    with pytest.raises(BadValue, match=r"output '.*out' is not usable: .*Is a directory"):
        pull(store, loaded, tmp_path / "out")


def test_a_full_disk_is_named_and_a_rerun_completes(
    loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk."""
    full = pytest.raises(MediaFull, match=f"{tmp_path}/out is too small")
    with files_of_at_most(5000), full:
        pull(store, loaded, tmp_path / "out")
    pull(store, loaded, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_stopped_at_any_byte_no_wrong_file_is_there_and_a_rerun_completes(
    loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    for at in range(len(FILES) + 1):
        out, calls = tmp_path / f"out-{at}", [0]

        def stop(_: int, at: int = at, calls: list[int] = calls) -> None:
            calls[0] += 1
            if calls[0] > at:
                raise Crash if at % 2 else Interrupted

        with pytest.raises((Crash, Interrupted)):
            pull(store, loaded, out, stop)
            raise Interrupted
        assert contents(out).items() <= FILES.items()
        assert contents(out) == FILES or not (out / MANIFEST).exists()
        pull(store, loaded, out)
        assert contents(out) == FILES


def test_pull_of_one_store_is_pack_of_the_next(
    loaded: Manifest, store: Store, tmp_path: Path
) -> None:
    pull(store, loaded, tmp_path / "out")
    pack(tmp_path / "out", tmp_path / "again")
    (again,) = load(new_store(tmp_path / "other"), tmp_path / "again")
    assert again.commit == loaded.commit
