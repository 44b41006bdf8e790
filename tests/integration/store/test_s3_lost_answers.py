"""An answer that is lost on its way: the client asks again, and must know its own work."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import (
    BROKEN,
    CUT,
    LOSE,
    REFUSE,
    SLOW_DOWN,
    Faults,
    Rule,
    anything,
    completes,
    faulty,
    gets,
    parts,
    puts,
)
from tests.integration.store.conftest import S3Place, initialised
from tests.services import Minio
from tests.store_contents import Bytes, blob_of, noise
from tests.store_contract import BLOB, DATA, Place
from tests.store_contract_refs import MAIN, REPO, add, move
from waybill.bundle.direct import SourceCargo
from waybill.bundle.sideload import Decision, Loading
from waybill.digest import PIECE
from waybill.errors import StoreUnreachable
from waybill.source.directory import DirectorySource
from waybill.store import mirror, s3_patience, sync
from waybill.store.connect import Access, connect
from waybill.store.store import Store


@pytest.fixture(scope="module")
def proxy(minio: Minio) -> Iterator[Faults]:
    with faulty(minio.endpoint) as faults:
        yield faults


@pytest.fixture
def store(place: Place, proxy: Faults) -> Store:
    """The store, reached through the proxy."""
    initialised(place)
    proxy.times = 0
    return S3Place(place.url, Access(endpoint=proxy.endpoint)).open()


def test_a_creation_whose_answer_is_lost_is_known_as_ours(store: Store, proxy: Faults) -> None:
    proxy.next(LOSE, puts)
    assert store.backend.create("a/b", b"ours")
    assert proxy.count(puts) == 2
    assert store.backend.read("a/b") == b"ours"


def test_a_refusal_whose_answer_is_lost_is_still_a_refusal(store: Store, proxy: Faults) -> None:
    assert store.backend.create("a/b", b"theirs")
    for expected in (None, b"other"):
        proxy.next(LOSE, puts)
        assert not store.backend.create("a/b", b"ours")
        assert not store.backend.replace("a/b", b"ours", expected)
    assert store.backend.read("a/b") == b"theirs"


def test_the_first_move_of_a_ref_is_known_as_ours(store: Store, proxy: Faults) -> None:
    commit = add(store, b"one")
    proxy.next(LOSE, lambda method, path: method == "PUT" and "/refs/" in path)
    head = move(store, commit)
    assert proxy.times == 0
    assert store.head(REPO, MAIN) == head
    assert len(list(store.history(REPO, MAIN))) == 1


def test_a_later_move_of_a_ref_is_known_as_ours(store: Store, proxy: Faults) -> None:
    one, two = add(store, b"one"), add(store, b"two")
    move(store, one)
    proxy.next(LOSE, lambda method, path: method == "PUT" and "/refs/" in path)
    head = move(store, two)
    assert proxy.times == 0
    assert store.head(REPO, MAIN) == head
    assert [record.commit for record in store.history(REPO, MAIN)] == [two, one]


@pytest.mark.parametrize("fault", [LOSE, REFUSE])
def test_a_small_blob_arrives_in_spite_of_it(store: Store, proxy: Faults, fault: str) -> None:
    proxy.next(fault, puts)
    told: list[int] = []
    store.upload(BLOB, Bytes(DATA), told.append)
    assert proxy.count(puts) == 2
    assert sum(told) == BLOB.size
    store.verify(BLOB)


@pytest.mark.parametrize(
    ("fault", "step", "rereadable"),
    [
        (LOSE, parts, True),
        (REFUSE, parts, False),
        (LOSE, completes, False),
        (REFUSE, completes, True),
    ],
)
def test_a_blob_in_pieces_arrives_in_spite_of_it(
    store: Store, proxy: Faults, fault: str, step: object, rereadable: bool
) -> None:
    data = noise(PIECE + 1)
    proxy.next(fault, step)  # type: ignore[arg-type]
    store.upload(blob_of(data), Bytes(data, rereadable=rereadable))
    assert proxy.times == 0
    store.verify(blob_of(data))


def test_an_answer_that_is_cut_now_and_then_is_read_to_its_end(store: Store, proxy: Faults) -> None:
    store.upload(BLOB, Bytes(DATA))
    proxy.next(CUT, gets, times=3)
    store.verify(BLOB)
    assert proxy.times == 0
    proxy.next(CUT, gets, times=3)
    assert store.read(BLOB.digest) == DATA


def test_an_answer_that_is_always_cut_is_no_whole_object(
    store: Store, proxy: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_patience, "READING", 0.2)
    monkeypatch.setattr(s3_patience, "_FIRST", 0.01)
    store.upload(BLOB, Bytes(DATA))
    proxy.next(CUT, gets, times=1000)
    with pytest.raises(StoreUnreachable):
        store.verify(BLOB)
    with pytest.raises(StoreUnreachable):
        store.read(BLOB.digest)
    proxy.times = 0
    store.verify(BLOB)


@pytest.mark.parametrize("fault", [REFUSE, SLOW_DOWN, BROKEN])
@pytest.mark.parametrize("step", [puts, parts, completes])
def test_a_server_that_fails_for_a_while_is_waited_for(
    fault: str, step: Rule, store: Store, proxy: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """More often than botocore would ask, which gives up within a second; people are told, once."""
    data = DATA if step is puts else noise(PIECE + 1)
    proxy.next(fault, step, times=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_patience, "_FIRST", 0.01)
        patch.setattr(s3_patience, "TOLD", 0.0)
        store.upload(blob_of(data), Bytes(data))
    assert proxy.times == 0
    (told,) = caplog.messages
    assert told.startswith("http://127.0.0.1:")
    assert told.endswith(": asking again for up to 120 s")
    store.verify(blob_of(data))


ASKING: list[Callable[[Store], object]] = [
    lambda store: store.has(BLOB),
    lambda store: store.read(BLOB.digest),
    lambda store: store.revisions(REPO),
    lambda store: store.backend.now(),
]


@pytest.mark.parametrize("ask", ASKING)
def test_who_only_asks_is_told_soon_but_in_the_midst_of_loading(
    ask: Callable[[Store], object], store: Store, proxy: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_patience, "_FIRST", 0.01)
    store.upload(BLOB, Bytes(DATA))
    proxy.next(BROKEN, anything, times=8)
    with store.backend.loading():
        ask(store)
    assert proxy.times == 0
    proxy.next(BROKEN, anything, times=8)
    with pytest.raises(StoreUnreachable):
        ask(Store(store.backend))
    assert proxy.times == 3, "as often as botocore asks"


def looks(method: str, path: str) -> bool:
    """At who prunes, which who publishes does once all is sent."""
    return method == "GET" and path.endswith("/leases/prune")


def test_a_server_that_is_away_once_all_is_sent_is_waited_for(
    store: Store, proxy: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_patience, "_FIRST", 0.01)
    (tmp_path / "config.json").write_bytes(b"{}")
    cargo = SourceCargo.plan(DirectorySource(tmp_path), REPO)
    loading = Loading.plan(cargo, store, Decision((MAIN,), "a", "b"))
    proxy.next(REFUSE, looks, times=8)
    loading.run()
    assert proxy.times == 0
    for bring in (copied, mirrored):
        kept = connect(f"{store.url}-{bring.__name__}", Access(endpoint=proxy.endpoint))
        kept.init()
        bring(store, kept, lambda: proxy.next(REFUSE, looks, times=8))
        assert proxy.times == 0 and kept.revisions(REPO)


def copied(store: Store, kept: Store, happens: Callable[[], None]) -> None:
    (commit,) = store.revisions(REPO)
    sync.copy_revision(store, kept, REPO, commit, lambda _: happens())


def mirrored(store: Store, kept: Store, happens: Callable[[], None]) -> None:
    planned = mirror.plan(store, kept)
    happens()
    assert mirror.carry_out(planned).wrong == {}


def test_a_server_that_stays_away_is_unreachable(
    store: Store, proxy: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_patience, "WRITING", 0)
    proxy.next(REFUSE, anything, times=1000)
    with pytest.raises(StoreUnreachable, match="cannot be reached") as caught:
        store.upload(BLOB, Bytes(DATA))
    assert caught.value.exit_code == 7
    assert proxy.count(puts) == 5
    proxy.times = 0
    assert not store.has(BLOB)
    store.upload(BLOB, Bytes(DATA))
