"""Who has the lease may delete, until the lease ends; who writes waits for it, and not for ever."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from waybill.errors import BeingPruned, NoConditionalWrites, PruneHeldUp
from waybill.store import layout, lease
from waybill.store.filesystem import FilesystemBackend
from waybill.store.lease import LAPSED, VALID, held, last_prune, settle, wait
from waybill.store.store import Store

KEY = "repos/models/a/b/revisions/x"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(FilesystemBackend(tmp_path / "store"))
    store.init()
    return store


def pass_time(store: Store, seconds: float) -> None:
    """The lease was renewed that much longer ago."""
    path = store.backend.local_path(layout.LEASE)
    assert path
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def when_asleep(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[float]:
    """What a writer's sleeping stands for; the seconds of each."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        act()

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: time.monotonic() + sum(slept))
    patch.setattr(lease, "time", clock)
    return slept


def test_one_has_it_and_gives_it_back(store: Store) -> None:
    with held(store, "me") as mine:
        assert mine.until > time.time() + VALID - 5
        with pytest.raises(BeingPruned, match="is being pruned by me"), held(store, "you"):
            pass
    first = last_prune(store)
    assert first
    with held(store, "you"):
        assert last_prune(store) is None
    assert last_prune(store) not in (None, first)


def test_it_is_given_back_when_the_work_fails(store: Store) -> None:
    with pytest.raises(KeyError), held(store, "me"):
        raise KeyError
    assert last_prune(store)


def test_while_a_deletion_is_unanswered_it_is_not_given_back(store: Store) -> None:
    with held(store, "me") as mine:
        mine.answered = False
    with pytest.raises(BeingPruned), held(store, "you"):
        pass
    pass_time(store, LAPSED + 1)
    with held(store, "you"):
        pass


def test_one_that_lapsed_is_taken_over_and_its_holder_notices(store: Store) -> None:
    with held(store, "me") as mine:
        pass_time(store, LAPSED + 1)
        with held(store, "you") as yours:
            mine.renew()
            with pytest.raises(PruneHeldUp, match="was held up for too long"):
                _ = mine.until
            yours.renew()
            assert yours.until > time.time()
        with held(store, "another"):
            pass


def test_a_renewal_that_comes_late_is_none_although_nobody_took_the_lease(store: Store) -> None:
    """Writers may have gone past it meanwhile."""
    with held(store, "me") as mine:
        first = mine.until
        mine.renew()
        assert mine.until >= first
        mine._until -= VALID + 1
        mine.renew()
        with pytest.raises(PruneHeldUp):
            _ = mine.until


def test_what_is_to_be_deleted_after_the_end_stays(store: Store) -> None:
    store.backend.create(KEY, b"1")
    with held(store, "me") as mine:
        mine._until -= VALID + 1
        with pytest.raises(PruneHeldUp):
            store.backend.delete(KEY, mine.until)
    assert store.backend.read(KEY) == b"1"


def test_it_is_renewed_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.001)
    before = threading.active_count()
    with held(store, "me") as mine:
        first = mine.until
        while mine.until == first:
            time.sleep(0.001)
    assert threading.active_count() <= before


def test_a_store_without_conditional_writes_is_not_pruned(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_bytes(b'{"conditionalWrites":false,"format":1,"id":"x"}')
    with (
        pytest.raises(NoConditionalWrites),
        held(Store(FilesystemBackend(tmp_path)), "me"),
    ):
        pass


def test_a_writer_waits_until_the_lease_is_gone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = lease.Lease(store, "me")

    def act() -> None:
        if len(slept) > 3:
            mine.give_back()

    slept = when_asleep(monkeypatch, act)
    assert wait(store) == store.backend.read(layout.LEASE)
    assert len(slept) == 4


def test_a_writer_waits_for_a_killed_prune_until_it_lapses(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.Lease(store, "me")
    slept = when_asleep(monkeypatch, lambda: pass_time(store, 50))
    assert wait(store) == store.backend.read(layout.LEASE)
    assert len(slept) - LAPSED // 50 in (0, 1)


def test_who_waits_for_long_is_told_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = lease.Lease(store, "the timer")

    def act() -> None:
        if len(slept) > 2 * lease.TOLD:
            mine.give_back()

    slept = when_asleep(monkeypatch, act)
    wait(store)
    told = f"the store {store.url} is being pruned by the timer: waiting until that has ended"
    assert [record.getMessage() for record in caplog.records] == [told]


def test_a_short_wait_is_not_worth_a_word(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = lease.Lease(store, "the timer")
    when_asleep(monkeypatch, mine.give_back)
    wait(store)
    assert caplog.records == []


def test_a_writer_does_not_wait_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.Lease(store, "somebody else")
    when_asleep(monkeypatch, lambda: None)
    monkeypatch.setattr(lease, "POLL", lease.PATIENCE / 3)
    with pytest.raises(BeingPruned, match="by somebody else"):
        wait(store)


def test_what_was_taken_away_is_written_again(store: Store) -> None:
    written: list[int] = []

    def write() -> None:
        written.append(1)
        store.backend.create(KEY, b"1")
        if len(written) == 1:
            store.backend.delete(KEY, time.time() + 9)

    settle(store, write, [KEY])
    assert len(written) == 2 and store.backend.read(KEY) == b"1"


def test_past_a_lapsed_lease_nobody_deletes_any_more(store: Store) -> None:
    """Not even one who fell asleep between his look at the clock and the deletion."""
    mine, fell_asleep, awake = lease.Lease(store, "me"), threading.Event(), threading.Event()
    store.backend.create(KEY, b"1")
    order: list[str] = []

    unlink = Path.unlink

    def delete(path: Path, missing_ok: bool = False) -> None:
        if path.name == "x":
            fell_asleep.set()
            awake.wait(9)
            order.append("deleted")
        unlink(path, missing_ok)

    def settled() -> None:
        settle(store, lambda: store.backend.create(KEY, b"1"), [KEY])
        order.append("settled")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", delete)
        pruner = threading.Thread(target=store.backend.delete, args=(KEY, mine.until))
        pruner.start()
        fell_asleep.wait(9)
        pass_time(store, LAPSED + 1)
        writer = threading.Thread(target=settled)
        writer.start()
        writer.join(0.1)
        awake.set()
        pruner.join(9)
    writer.join(9)
    assert order == ["deleted", "settled"]
    assert store.backend.read(KEY) == b"1"


def test_two_writers_of_the_same_do_not_chase_each_other(store: Store) -> None:
    written: list[int] = []

    def write() -> None:
        written.append(1)
        held = store.backend.read(KEY)
        assert store.backend.replace(KEY, b"1", held)

    def other() -> bytes | None:
        if len(written) < 5:
            write()
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "wait", lambda _: other())
        settle(store, write, [KEY])
    assert len(written) == 5
