"""From a source straight into a store: the same revision that a bundle would have brought."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from tests.unit.bundle.bundles import DECISION, FILES, REPO, files_of, load, new_store, pack, write
from tests.unit.sign.making import asking, signer
from waybill import digest as digests
from waybill.bundle.direct import SourceCargo
from waybill.bundle.sideload import Loading
from waybill.digest import Digest
from waybill.errors import BadValue, Corrupt, Interrupted, SourceChanged, Unsigned
from waybill.manifest import STATEMENT_TYPE
from waybill.sign.trust import Policy
from waybill.source.base import SourceFile
from waybill.source.directory import DirectorySource, FileSource
from waybill.source.select import Choice
from waybill.store.base import Limited
from waybill.store.store import Store

WEIGHTS = "model.safetensors"


def loading(source: DirectorySource, store: Store, policy: Policy | None = None) -> Loading:
    return Loading.plan(SourceCargo.plan(source, REPO), store, DECISION, policy=policy)


class Named(DirectorySource):
    """Says digests beforehand, as a hub does; counts how often each file is opened."""

    def __init__(self, root: Path, wrong: str = "") -> None:
        super().__init__(root)
        self._wrong, self.opened = wrong, list[str]()

    def files(self) -> list[SourceFile]:
        said = Digest("sha256:" + "0" * 64)
        return [
            SourceFile(f.path, f.size, f.stamp, said if f.path == self._wrong else None)
            for f in super().files()
        ]

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        self.opened.append(file.path)
        return super().open(file, offset)


class Between(DirectorySource):
    """Something happens to the source once all of it was read."""

    def __init__(self, root: Path, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self._happens = happens

    def is_unchanged(self, file: SourceFile) -> bool:
        found = super().is_unchanged(file)
        if file.path == max(FILES):
            self._happens()
        return found


class InTurn(Named):
    """Its files lie in one stream, the last name first; notes what is open beside another."""

    def files(self) -> list[SourceFile]:
        self.open_now, self.most = 0, 0
        listed = super().files()
        return [replace(file, turn=(0, -at)) for at, file in enumerate(listed)]

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        return _Counted(super().open(file, offset), self)  # type: ignore[return-value]


class _Counted(Limited):
    def __init__(self, stream: IO[bytes], source: InTurn) -> None:
        super().__init__(stream, 1 << 30)
        self._source = source

    def close(self) -> None:
        self._source.open_now -= not self.closed
        super().close()


def test_files_that_have_a_turn_are_read_in_it_and_one_at_a_time(model: Path, store: Store) -> None:
    source = InTurn(model)
    plan = loading(source, store)
    in_turn = sorted(FILES, reverse=True)
    assert source.opened == in_turn
    source.opened.clear()
    plan.run()
    sent = [path for path in in_turn if path != "config.json"]
    assert (source.opened, source.most) == (sent, 1), "copy.json has the same bytes"
    assert files_of(store) == FILES


def test_it_is_the_revision_that_a_bundle_brings(
    small: None, model: Path, store: Store, tmp_path: Path
) -> None:
    assert small is None
    pack(model, tmp_path / "bundle")
    other = new_store(tmp_path / "other")
    (packed,) = load(other, tmp_path / "bundle")
    (loaded,) = loading(DirectorySource(model), store).run()
    assert loaded.commit == packed.commit
    assert files_of(store) == FILES
    kept = [blob for blob in store.referrers(REPO, loaded.commit) if STATEMENT_TYPE in str(blob)]
    assert kept == other.referrers(REPO, loaded.commit)


def test_how_a_file_is_read_is_for_the_source_to_say(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    for source in (DirectorySource(model), FileSource(path)):
        cargo = SourceCargo.plan(source, REPO)
        (blob, *_) = cargo.revision.manifest.blobs
        assert cargo.content(blob).rereadable
    far = Named(model)
    far.local = False
    assert not SourceCargo.plan(far, REPO).content(digests.of(FILES[WEIGHTS])).rereadable


def test_what_is_there_is_not_sent_again(model: Path, store: Store) -> None:
    loading(DirectorySource(model), store).run()
    (model / "config.json").write_bytes(b"{}\n")
    again = loading(DirectorySource(model), store)
    assert [blob.size for blob in again.missing] == [3]
    again.run()
    assert files_of(store) == {**FILES, "config.json": b"{}\n"}


def test_a_choice_counts(model: Path, store: Store) -> None:
    cargo = SourceCargo.plan(DirectorySource(model), REPO, choice=Choice(exclude=("*.txt",)))
    Loading.plan(cargo, store, DECISION).run()
    assert set(files_of(store)) == {path for path in FILES if not path.endswith(".txt")}


def test_a_digest_that_does_not_hold_is_refused(model: Path) -> None:
    with pytest.raises(Corrupt, match=f"config.json from {model} is corrupt"):
        SourceCargo.plan(Named(model, wrong="config.json"), REPO)


def test_each_file_is_read_once_to_know_and_once_to_send(model: Path, store: Store) -> None:
    source = Named(model)
    loading(source, store).run()
    once = ("config.json", "copy.json", "empty.txt")
    assert {path: source.opened.count(path) for path in FILES if path not in once} == (
        dict.fromkeys(sorted(set(FILES) - set(once)), 2)
    )


def test_a_file_that_changes_between_is_not_sent(model: Path, store: Store) -> None:
    def change() -> None:
        write(model, {WEIGHTS: b"something else"})

    with pytest.raises(SourceChanged, match=f"{WEIGHTS} changed while it was packed"):
        loading(Between(model, change), store).run()
    assert not list(store.revisions(REPO))


def test_an_interrupted_one_is_gone_on_with(model: Path, store: Store) -> None:
    def stop(_: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        loading(DirectorySource(model), store).run(stop)
    assert not list(store.revisions(REPO))
    loading(DirectorySource(model), store).run()
    assert files_of(store) == FILES


def test_a_directory_has_to_be_named(model: Path) -> None:
    with pytest.raises(BadValue, match="the source does not say owner/name"):
        SourceCargo.plan(DirectorySource(model))


def test_a_policy_holds_for_sources_too(model: Path, store: Store, tmp_path: Path) -> None:
    ours = signer()
    policy = Policy.load(asking(tmp_path / "trust.yaml", ours))
    with pytest.raises(Unsigned):
        loading(DirectorySource(model), store, policy)
    signed = SourceCargo.plan(DirectorySource(model), REPO, signer=ours)
    Loading.plan(signed, store, DECISION, policy=policy).run()
    assert files_of(store) == FILES
