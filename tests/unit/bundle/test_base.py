"""Bundles of changes: what they leave out, what they need, and that nothing else differs."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from tests.unit.bundle.bundles import FILES, MAIN, PART, REPO, load, new_store, noise, pack, write
from waybill.bundle.base import Base
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packed, Packing
from waybill.bundle.verify import verify
from waybill.errors import BadFile, BaseMissing, SourceChanged
from waybill.source.base import SourceFile
from waybill.source.directory import DirectorySource
from waybill.store import layout
from waybill.store.store import Store

NEW = {**FILES, "config.json": b'{"model_type": "BERT"}\n', "added.json": b"{}"}
"""One file has the size that it had and other bytes; one is new; the weights are the same."""


class Watched(DirectorySource):
    """Tells what was opened, and can lose a file to somebody who writes to it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []
        self.changed: set[str] = set()

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        self.opened.append(file.path)
        return super().open(file, offset)

    def is_unchanged(self, file: SourceFile) -> bool:
        return file.path not in self.changed and super().is_unchanged(file)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    return write(tmp_path / "changed", NEW)


def delta(source: Path, out: Path, base: Base, part_size: int = PART) -> Packed:
    return Packing.plan(DirectorySource(source), REPO, part_size=part_size, base=base).run([out])


def held(packed: Packed) -> set[str]:
    """Paths of the files whose bytes are in the parts."""
    files = packed.index.revisions[0].manifest.files
    return {file.path for file in files if file.digest in packed.index.blobs}


def test_only_what_differs_is_packed_and_the_revision_is_the_same(
    bundle: Path, changed: Path, tmp_path: Path, store: Store
) -> None:
    packed = delta(changed, tmp_path / "delta", Base.of_bundle([bundle]))
    assert held(packed) == {"config.json", "added.json"}
    whole = pack(changed, tmp_path / "whole").index.revisions[0]
    assert packed.index.revisions[0].manifest == whole.manifest
    assert not verify(Bundle.open([tmp_path / "delta"])).wrong

    load(store, bundle)
    load(store, tmp_path / "delta")
    head = store.head(REPO, MAIN)
    assert head and head.commit == whole.manifest.commit
    for blob in whole.manifest.blobs.values():
        store.verify(blob)


def test_a_store_and_its_inventory_say_the_same(
    bundle: Path, changed: Path, tmp_path: Path, store: Store
) -> None:
    load(store, bundle)
    (tmp_path / "inventory.json").write_bytes(Base.of_store(store).data)
    bases = (Base.of_store(store), Base.load(tmp_path / "inventory.json"))
    made = [delta(changed, tmp_path / str(at), base) for at, base in enumerate(bases)]
    assert made[0].index.data == made[1].index.data
    assert held(made[0]) == {"config.json", "added.json"}


def test_what_is_read_here_counts_whatever_an_inventory_says(
    bundle: Path, model: Path, tmp_path: Path
) -> None:
    base = Base.of_bundle([bundle])
    lying = replace(base, git_oids=dict.fromkeys(base.git_oids, "0" * 40))
    made = [delta(model, tmp_path / str(at), one) for at, one in enumerate((base, lying))]
    assert made[0].index.data == made[1].index.data


def test_only_files_that_may_be_there_are_read_to_compare(
    bundle: Path, changed: Path, tmp_path: Path
) -> None:
    source = Watched(changed)
    told: list[int] = []
    base = Base.of_bundle([bundle])
    packing = Packing.plan(source, REPO, part_size=PART, base=base, advance=told.append)
    same_size = [path for path, data in NEW.items() if len(data) in base.sizes.values()]
    assert sorted(source.opened) == sorted(same_size) and "added.json" not in same_size
    assert sum(told) == sum(len(NEW[path]) for path in same_size)
    source.opened.clear()
    packing.run([tmp_path / "delta"])
    assert set(source.opened) == {"config.json", "added.json"}


def test_one_file_in_a_hundred_costs_what_it_weighs(small: None, tmp_path: Path) -> None:  # noqa: ARG001
    files = {f"part-{at:03}.safetensors": noise(8192, at) for at in range(100)}
    pack(write(tmp_path / "old", files), tmp_path / "base", part_size=1_000_000)
    new = noise(200_000, 1000)
    source = write(tmp_path / "new", {**files, "part-042.safetensors": new})
    delta(source, tmp_path / "delta", Base.of_bundle([tmp_path / "base"]), 1_000_000)
    size = sum(path.stat().st_size for path in (tmp_path / "delta").glob("part-*.tar"))
    assert size < 1.05 * len(new)


def test_nothing_new_is_a_bundle_without_parts(bundle: Path, model: Path, tmp_path: Path) -> None:
    store = new_store(tmp_path / "other")
    packed = delta(model, tmp_path / "delta", Base.of_bundle([bundle]))
    assert packed.index.parts == () and packed.index.blobs == {}
    load(store, bundle)
    assert load(store, tmp_path / "delta")[0].commit == packed.index.revisions[0].manifest.commit


def test_without_its_base_it_is_refused_and_nothing_changes(
    bundle: Path, changed: Path, tmp_path: Path, store: Store
) -> None:
    delta(changed, tmp_path / "delta", Base.of_bundle([bundle]))
    with pytest.raises(
        BaseMissing, match=r"leaves out what Acme/Demo at .* lacks 7 of these files"
    ):
        load(store, tmp_path / "delta")
    assert store.refs() == {} and store.revisions(REPO) == []


def test_a_delta_of_a_delta(bundle: Path, changed: Path, tmp_path: Path, store: Store) -> None:
    """The last bundle that was sent is enough: over a diode nothing comes back."""
    delta(changed, tmp_path / "one", Base.of_bundle([bundle]))
    third = write(tmp_path / "third", {**NEW, "added.json": b"[]"})
    packed = delta(third, tmp_path / "two", Base.of_bundle([tmp_path / "one"]))
    assert held(packed) == {"added.json"}
    for each in (bundle, tmp_path / "one", tmp_path / "two"):
        load(store, each)


def test_a_file_left_out_that_changes_meanwhile_is_noticed(
    bundle: Path, changed: Path, tmp_path: Path
) -> None:
    source = Watched(changed)
    base = Base.of_bundle([bundle])
    packing = Packing.plan(source, REPO, part_size=PART, base=base)
    source.changed.add("tokenizer.json")
    with pytest.raises(SourceChanged, match=r"tokenizer\.json"):
        packing.run([tmp_path / "delta"])
    assert not (tmp_path / "delta/bundle.json").exists()


def test_tar_alone_restores_what_is_in_it_and_the_readme_says_what_is_not(
    bundle: Path, changed: Path, tmp_path: Path
) -> None:
    delta(changed, tmp_path / "delta", Base.of_bundle([bundle]))
    readme = (tmp_path / "delta/README.txt").read_text()
    assert "Left out: 7 files that came before, with Acme/Demo at " in readme
    for folder in (bundle, tmp_path / "delta"):
        script = (
            f'cd {tmp_path} && for part in {folder}/part-*.tar; do tar -xf "$part"; done;'
            f"cat Acme/Demo/model.safetensors.0000???????????????? > Acme/Demo/model.safetensors;"
            f"sha256sum --check --quiet {folder}/README.txt 2>/dev/null"
        )
        subprocess.run(["bash", "-c", script], check=True)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2, "of": "x", "files": {}}', '{"format": 1, "of": "x"}']
)
def test_what_is_no_inventory_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "inventory.json").write_text(text)
    with pytest.raises(BadFile, match=r"inventory.json cannot be used"):
        Base.load(tmp_path / "inventory.json")


def test_what_a_store_has_lost_is_packed_again(
    bundle: Path, changed: Path, tmp_path: Path, store: Store
) -> None:
    load(store, bundle)
    lost = Bundle.open([bundle]).index.revisions[0].manifest.by_path["model.safetensors"]
    (tmp_path / "store" / layout.blob(lost.digest)).unlink()
    packed = delta(changed, tmp_path / "delta", Base.of_store(store))
    assert held(packed) == {"config.json", "added.json", "model.safetensors"}
    load(store, tmp_path / "delta")
