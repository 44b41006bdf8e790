"""Sideloading over a store whose disk has forgotten: what is looked at, and what is mended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import DECISION, MAIN, REPO, load
from tests.unit.cli.conftest import Ran
from tests.unit.store.test_room import disk_with
from waybill.bundle.base import Base
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.bundle.sideload import Check, Loading
from waybill.cli.main import main
from waybill.errors import BaseDamaged, Corrupt, StoreTooSmall
from waybill.manifest import Descriptor
from waybill.source.directory import DirectorySource
from waybill.store import layout
from waybill.store.audit import audit, inventory
from waybill.store.store import Store

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a byte": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    "cut short": lambda data: data[:-1],
    "too long": lambda data: data + b"more",
}


def weights(bundle: Path) -> Descriptor:
    manifest = Bundle.open([bundle]).index.revisions[0].manifest
    return manifest.by_path["model.safetensors"].descriptor


@pytest.fixture(params=DAMAGE)
def damaged(request: pytest.FixtureRequest, bundle: Path, store: Store) -> Descriptor:
    """The weights, as they lie in a store that was loaded and then damaged."""
    load(store, bundle)
    blob = weights(bundle)
    path = store.backend.local_path(layout.blob(blob.digest))
    assert path
    path.write_bytes(DAMAGE[request.param](path.read_bytes()))
    return blob


def plan(bundle: Path, store: Store, check: Check) -> Loading:
    return Loading.plan(BundleCargo(Bundle.open([bundle])), store, DECISION, check)


def test_a_deep_look_finds_it_and_changes_nothing(
    bundle: Path, store: Store, damaged: Descriptor
) -> None:
    with pytest.raises(Corrupt, match=damaged.digest):
        plan(bundle, store, Check.DEEP)


def test_repair_sends_what_is_damaged_and_nothing_else(
    bundle: Path, store: Store, damaged: Descriptor
) -> None:
    before = store.head(REPO, MAIN)
    loading = plan(bundle, store, Check.REPAIR)
    assert loading.missing == (damaged,) and loading.damaged == {damaged.digest}
    loading.run()
    assert audit(store, inventory(store)).wrong == {}
    assert store.head(REPO, MAIN) == before
    assert plan(bundle, store, Check.DEEP).missing == ()


def test_repair_needs_room_for_what_is_written_beside_the_damage(
    bundle: Path, store: Store, damaged: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_with(monkeypatch, damaged.size - 1)
    with pytest.raises(StoreTooSmall):
        plan(bundle, store, Check.REPAIR)
    disk_with(monkeypatch, damaged.size)
    plan(bundle, store, Check.REPAIR).run()
    assert audit(store, inventory(store)).wrong == {}


def test_repair_in_place_needs_none(
    bundle: Path, store: Store, damaged: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_with(monkeypatch, 0)
    monkeypatch.setattr(store.backend, "in_place", True, raising=False)
    assert plan(bundle, store, Check.REPAIR).damaged == {damaged.digest}


def test_a_bundle_that_is_damaged_too_leaves_it_as_it_was(
    bundle: Path, store: Store, damaged: Descriptor
) -> None:
    path = store.backend.local_path(layout.blob(damaged.digest))
    assert path
    held = path.read_bytes()
    part, extent = Bundle.open([bundle]).index.places[damaged.digest][0]
    with (bundle / part.name).open("r+b") as stream:
        stream.seek(extent.at)
        stream.write(b"flipped")
    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        plan(bundle, store, Check.REPAIR).run()
    assert path.read_bytes() == held


def test_the_command_says_what_was_damaged(
    bundle: Path, store: Store, damaged: Descriptor, capsys: pytest.CaptureFixture[str]
) -> None:
    def waybill(*options: str) -> Ran:
        code = main(["sideload", str(bundle), "--to", store.url, *options])
        told = capsys.readouterr()
        return Ran(code, told.out, told.err)

    deep = waybill("--verify", "deep")
    assert deep.code == Corrupt.exit_code and damaged.digest in deep.err
    for options, verb in ((["--dry-run"], "are"), ([], "were")):
        assert f" {verb} there; damaged: 1\n" in waybill("--repair", *options).out
    assert "sent 0 of " in waybill("--verify", "deep").out


def test_what_a_bundle_of_changes_leaves_out_is_mended_by_that_which_has_it(
    bundle: Path, model: Path, store: Store, tmp_path: Path, damaged: Descriptor
) -> None:
    Packing.plan(DirectorySource(model), REPO, base=Base.of_bundle([bundle])).run([tmp_path / "on"])
    with pytest.raises(BaseDamaged, match=r"1 of these files are damaged .* model\.safetensors"):
        plan(tmp_path / "on", store, Check.REPAIR)
    plan(bundle, store, Check.REPAIR).run()
    assert plan(tmp_path / "on", store, Check.REPAIR).missing == ()
    store.verify(damaged)
