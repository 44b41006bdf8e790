"""What happens when the same work is done twice, at once, or after the source has changed."""

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import FILES, REPO, load, new_store, pack, plan, write
from tests.unit.bundle.test_pull import contents
from waybill.bundle import sideload
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Decision, Loading
from waybill.errors import BadValue, Corrupt, ForeignBundle, RefMoved, SourceChanged
from waybill.store import layout
from waybill.store.base import Stat
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref
from waybill.store.pull import pull

MAIN = Ref("heads", "main")


def loading(bundle: Path, store: Path, by: str) -> Loading:
    return Loading.plan(
        BundleCargo(Bundle.open([bundle])), new_store(store), Decision((MAIN,), by, "test")
    )


@pytest.mark.usefixtures("small")
def test_two_sideloads_of_one_bundle_at_once_both_end_well(model: Path, tmp_path: Path) -> None:
    pack(model, tmp_path / "bundle")
    first, second = (loading(tmp_path / "bundle", tmp_path / "store", by) for by in "ab")
    commits = {one.commit for work in (first, second) for one in work.run()}
    assert len(commits) == 1
    assert [record.by for record in first.store.history(REPO, MAIN)] == ["a"]


@pytest.mark.usefixtures("small")
def test_two_sideloads_of_different_bundles_at_once_are_told_apart(
    model: Path, tmp_path: Path
) -> None:
    pack(model, tmp_path / "one")
    pack(write(model, {"config.json": b"{}"}), tmp_path / "other")
    first = loading(tmp_path / "one", tmp_path / "store", "a")
    second = loading(tmp_path / "other", tmp_path / "store", "b")
    first.run()
    with pytest.raises(RefMoved, match=r"heads/main of .* was moved by somebody else"):
        second.run()


@pytest.mark.usefixtures("small")
def test_a_model_in_a_directory_whose_name_is_no_utf_8_is_packed_and_gone_on_with(
    tmp_path: Path,
) -> None:
    source = write(tmp_path / os.fsdecode(b"caf\xe9"), FILES)
    pack(source, tmp_path / "bundle")
    (tmp_path / "bundle" / "bundle.json").unlink()
    assert pack(source, tmp_path / "bundle").reused


@pytest.mark.usefixtures("small")
def test_a_model_with_odd_names_is_pulled_whole(tmp_path: Path) -> None:
    files = {f"w.safetensors{end}": end.encode() * 9 for end in ("", ".partial", ".lock", ".new")}
    store = new_store(tmp_path / "store")
    pack(write(tmp_path / "model", files), tmp_path / "bundle")
    load(store, tmp_path / "bundle")
    pull(store, store.manifest(REPO, store.resolve(REPO, "main")), tmp_path / "out")
    assert contents(tmp_path / "out") == files


@pytest.mark.usefixtures("small")
def test_pulls_into_one_directory_take_turns(model: Path, tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    pack(model, tmp_path / "bundle")
    load(store, tmp_path / "bundle")
    manifest = store.manifest(REPO, store.resolve(REPO, "main"))
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(pull(store, manifest, tmp_path / "out")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.fetched for one in done) == [0, 0, 0, len(manifest.files)]
    assert not list((tmp_path / "out").glob(".waybill-pull*"))


@pytest.mark.usefixtures("small")
def test_a_draft_that_is_a_link_is_never_written_through(model: Path, tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    pack(model, tmp_path / "bundle")
    load(store, tmp_path / "bundle")
    write(tmp_path, {"elsewhere": b"mine"})
    write(tmp_path / "out", {".waybill-pull/x": b""})
    (tmp_path / "out" / "config.json.partial").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / ".waybill-pull" / "y").symlink_to(tmp_path / "elsewhere")
    pull(store, store.manifest(REPO, store.resolve(REPO, "main")), tmp_path / "out")
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert (tmp_path / "out" / "config.json").read_bytes() == FILES["config.json"]


@pytest.mark.usefixtures("small")
def test_a_packing_begins_anew_when_its_source_has_changed(model: Path, tmp_path: Path) -> None:
    packing = plan(model)
    last = model / packing.selection.kept[-1].path

    def touch(_: int) -> None:
        if (tmp_path / "out" / "part-00001.tar").exists():
            last.write_bytes(b"other")

    with pytest.raises(SourceChanged) as caught:
        packing.run([tmp_path / "out"], touch)
    assert "run the command again: it begins anew" in caught.value.advice
    pack(model, tmp_path / "out")
    pack(model, tmp_path / "undisturbed")
    left, right = ((tmp_path / name / "bundle.json") for name in ("out", "undisturbed"))
    assert left.read_bytes() == right.read_bytes()


@pytest.mark.usefixtures("small")
def test_a_whole_bundle_is_never_replaced_by_that_of_a_changed_source(
    model: Path, tmp_path: Path
) -> None:
    pack(model, tmp_path / "out")
    before = (tmp_path / "out" / "bundle.json").read_bytes()
    write(model, {"config.json": b"{}"})
    with pytest.raises(ForeignBundle):
        pack(model, tmp_path / "out")
    with pytest.raises(ForeignBundle):
        plan(model).check([tmp_path / "out"])
    assert (tmp_path / "out" / "bundle.json").read_bytes() == before


@pytest.mark.usefixtures("small")
def test_a_bundle_is_not_packed_into_its_own_source(model: Path) -> None:
    with pytest.raises(BadValue, match="it is inside the source"):
        pack(model, model / "out")
    assert not (model / "out").exists()


def test_an_interrupt_while_the_program_starts_is_no_traceback() -> None:
    program = (
        "import sys; from waybill.__main__ import run\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'waybill.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop()); run()"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (
        130,
        b"error: interrupted\nhint: run the same command again\n",
    )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("few", [0, 1_000])
def test_what_is_there_is_found_one_by_one_or_in_a_list(
    few: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sideload, "_FEW", few)
    asked, stat = Counter[str](), FilesystemBackend.stat

    def counted(backend: FilesystemBackend, key: str) -> Stat | None:
        asked[key] += 1
        return stat(backend, key)

    monkeypatch.setattr(FilesystemBackend, "stat", counted)
    pack(model, tmp_path / "one")
    first = loading(tmp_path / "one", tmp_path / "store", "a")
    assert {blob.size for blob in first.missing} == set(map(len, FILES.values()))
    assert bool(asked) is (few > 0)
    first.run()
    pack(write(model, {"config.json": b"{}"}), tmp_path / "other")
    assert [blob.size for blob in loading(tmp_path / "other", tmp_path / "store", "b").missing] == [
        2
    ]
    # What the list has is looked at all the same.
    damaged = tmp_path / "store" / layout.blob(first.missing[0].digest)
    damaged.write_bytes(damaged.read_bytes() + b"more")
    with pytest.raises(Corrupt):
        loading(tmp_path / "one", tmp_path / "store", "c")
