"""Pulling from a hub that comes and goes, refuses, lies, or is not there at all."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from tests.store_contents import noise
from tests.unit.bundle import bundles
from tests.unit.bundle.bundles import bytes_below, write
from tests.unit.hub.models import file as file_of
from waybill import digest as digests
from waybill.errors import Corrupt, OtherRevision, SourceRefused, SourceUnreachable
from waybill.manifest import Manifest
from waybill.source import pull as pulling
from waybill.source.base import SourceFile
from waybill.source.pull import Expected, Manner, pull_from_hub, pulled_before
from waybill.store.pull import MANIFEST, NOTES, Pulled, Wanted, fetch

FILES = {**bundles.FILES, "model.safetensors": noise(3_000_000)}
MODEL = Manifest.of(file_of(path, data) for path, data in FILES.items())
DIGEST = MODEL.descriptor.digest
CUT = 1_500_000
"""Bytes after which a connection breaks."""


@dataclass
class Memory:
    """A hub that fails each `failures` once, first in listing, then in reading."""

    contents: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    commit: str = MODEL.commit
    failures: list[Exception] = field(default_factory=list)
    cuts: int = 0
    opened: list[tuple[str, int]] = field(default_factory=list)

    def __str__(self) -> str:
        return "http://hub/acme/demo"

    def files(self) -> Sequence[SourceFile]:
        if self.failures:
            raise self.failures.pop(0)
        return [
            SourceFile(one.path, one.size, "", None if one.git_oid else one.digest, one.git_oid)
            for one in MODEL.files
        ]

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        self.opened.append((file.path, offset))
        return io.BufferedReader(Breaking(self, self.contents[file.path], offset))


class Breaking(io.RawIOBase):
    def __init__(self, hub: Memory, data: bytes, offset: int) -> None:
        self._hub, self._stream = hub, io.BytesIO(data)
        self._stream.seek(offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._stream.tell() > CUT and self._hub.cuts:
            self._hub.cuts -= 1
            raise away()
        return self._stream.readinto(buffer)


def away() -> SourceUnreachable:
    return SourceUnreachable(source="http://hub/acme/demo", why="the cable was pulled")


def refusal() -> SourceRefused:
    return SourceRefused(
        source="http://hub/acme/demo", why="the token has expired", credentials="it"
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Sleeping takes no time and is counted; the first entry is now."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", sleep)
    yield now


def contents(out: Path) -> dict[str, bytes]:
    return {path: (out / path).read_bytes() for path in bytes_below(out, but=[".cache"])}


def test_every_file_arrives_and_the_manifest_is_kept(tmp_path: Path) -> None:
    manifest, pulled = pull_from_hub(Memory(), tmp_path / "out", DIGEST)
    assert (manifest, pulled) == (MODEL, Pulled(len(FILES), 0, MODEL.size))
    assert contents(tmp_path / "out") == FILES
    assert (tmp_path / "out" / MANIFEST).read_bytes() == MODEL.data
    assert [path.name for path in (tmp_path / "out" / NOTES).iterdir()] == ["manifest.json"]


def test_what_is_whole_is_known_without_the_hub(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pulled_before(out, Expected(MODEL.commit, DIGEST)) is None
    pull_from_hub(Memory(), out)
    assert pulled_before(out, Expected(MODEL.commit)) == MODEL
    assert pulled_before(out, Expected("main", DIGEST)) == MODEL
    assert pulled_before(out, Expected("main")) is None
    assert pulled_before(out, Expected("0" * 40)) is None
    (out / "config.json").write_bytes(b"shorter")
    assert pulled_before(out, Expected(MODEL.commit, DIGEST)) is None
    (out / "config.json").unlink()
    assert pulled_before(out, Expected(MODEL.commit, DIGEST)) is None


def test_a_file_of_another_revision_ends_what_was_known(tmp_path: Path) -> None:
    pull_from_hub(Memory(), tmp_path)
    data = noise(3_000_000, 1)
    path = "model.safetensors"
    other = Wanted(path, len(data), digests.of(data), None, path, lambda at: io.BytesIO(data[at:]))
    fetch([other], tmp_path)
    assert pulled_before(tmp_path, Expected(MODEL.commit)) is None


def test_a_kept_manifest_that_is_spoiled_counts_for_nothing(tmp_path: Path) -> None:
    out = write(tmp_path / "out", {**FILES, MANIFEST: MODEL.data[:-1]})
    assert pulled_before(out, Expected(MODEL.commit, DIGEST)) is None


def test_a_hub_that_is_away_for_a_while_is_waited_for(clock: list[float], tmp_path: Path) -> None:
    told: list[str] = []
    hub = Memory(failures=[away() for _ in range(6)])
    pull_from_hub(hub, tmp_path, DIGEST, Manner(tell=told.append))
    assert contents(tmp_path) == FILES
    assert len(told) == 6
    assert "cannot be read: the cable was pulled; trying again for 300 s" in told[0]
    assert 1 + 2 + 4 + 8 + 15 + 15 <= clock[0] < 50


def test_a_connection_that_breaks_is_gone_on_with_within_the_file(
    clock: list[float],  # noqa: ARG001
    tmp_path: Path,
) -> None:
    hub = Memory(cuts=2)
    pull_from_hub(hub, tmp_path, DIGEST)
    assert contents(tmp_path) == FILES
    offsets = [at for path, at in hub.opened if path == "model.safetensors"]
    assert offsets == [0, 2 << 20, 2 << 20]


def test_patience_ends_and_a_rerun_goes_on_where_the_bytes_ended(
    clock: list[float], tmp_path: Path
) -> None:
    hub = Memory(cuts=10_000)
    with pytest.raises(SourceUnreachable):
        pull_from_hub(hub, tmp_path, DIGEST, Manner(patience=20))
    assert clock[0] < 200
    assert not (tmp_path / "model.safetensors").exists()
    rerun = Memory()
    _, pulled = pull_from_hub(rerun, tmp_path, DIGEST)
    assert ("model.safetensors", 0) not in rerun.opened
    assert pulled.fetched + pulled.kept == len(FILES)
    assert contents(tmp_path) == FILES


def test_a_token_that_was_exchanged_meanwhile_is_forgiven_one_that_is_wrong_is_not(
    clock: list[float], tmp_path: Path
) -> None:
    pull_from_hub(Memory(failures=[refusal()]), tmp_path / "one", DIGEST)
    with pytest.raises(SourceRefused, match="refuses access: the token has expired"):
        pull_from_hub(Memory(failures=[refusal()] * 9), tmp_path / "two", DIGEST)
    assert clock[0] < 10


def test_a_beginning_that_a_power_cut_spoiled_is_fetched_anew(tmp_path: Path) -> None:
    (file,) = [one for one in Memory().files() if one.path == "model.safetensors"]
    draft = pulling._wanted(Memory(), file, Manner()).draft
    write(tmp_path, {f"{NOTES}/{draft}": bytes(3000)})
    pull_from_hub(hub := Memory(), tmp_path, DIGEST)
    assert contents(tmp_path) == FILES
    assert [at for path, at in hub.opened if path == "model.safetensors"] == [3000, 0]


@pytest.mark.parametrize("path", ["model.safetensors", "config.json", "README.md"])
def test_wrong_bytes_are_refused_and_no_manifest_is_kept(path: str, tmp_path: Path) -> None:
    data = FILES[path]
    hub = Memory({**FILES, path: bytes([data[0] ^ 1]) + data[1:]})
    with pytest.raises(Corrupt, match=f"{path} from http://hub/acme/demo is corrupt"):
        pull_from_hub(hub, tmp_path, DIGEST)
    assert not (tmp_path / path).exists()
    assert not (tmp_path / MANIFEST).exists()


def test_another_revision_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    other = Manifest(MODEL.files[1:]).descriptor.digest
    with pytest.raises(OtherRevision, match=f"gives {DIGEST} for {other}"):
        pull_from_hub(Memory(), tmp_path, other)
    assert not (tmp_path / MANIFEST).exists()


def test_an_upstream_commit_needs_the_digest(tmp_path: Path) -> None:
    with pytest.raises(OtherRevision, match=f"for {'a' * 40}"):
        pull_from_hub(Memory(commit="a" * 40), tmp_path)
    pull_from_hub(Memory(commit="a" * 40), tmp_path, DIGEST)


def test_what_an_older_revision_left_unfinished_is_cleared(tmp_path: Path) -> None:
    write(tmp_path, {f"{NOTES}/{'0' * 64}": b"old"})
    pull_from_hub(Memory(), tmp_path, DIGEST)
    assert [path.name for path in (tmp_path / NOTES).iterdir()] == ["manifest.json"]
