"""What is kept in memory, what is read each time, and how long the store may take."""

import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Watched
from tests.unit.hub.models import FILES, REPO, UPSTREAM, add, point
from waybill.errors import RevisionNotFound, StoreUnreachable
from waybill.hub.revisions import Recent, Revisions, Snapshot
from waybill.hub.threads import Threads
from waybill.hub.tree import Tree
from waybill.manifest import Manifest
from waybill.store.layout import Ref
from waybill.store.store import Store


def snapshot(store: Store, files: int) -> Snapshot:
    manifest = add(store, {f"{files}-{number}.txt": b"x" for number in range(files)})
    return Snapshot("a/b", manifest, Tree(manifest))


def test_the_least_recently_used_goes_first(store: Store) -> None:
    recent = Recent(capacity=10)
    for files in (3, 4, 2):
        recent.put((None, "repo", str(files)), snapshot(store, files))
    assert recent.get((None, "repo", "3"))
    recent.put((None, "repo", "5"), snapshot(store, 5))
    assert [bool(recent.get((None, "repo", name))) for name in "3425"] == [True, False, True, True]


def test_one_larger_than_all_room_is_kept_alone(store: Store) -> None:
    recent = Recent(capacity=2)
    recent.put((None, "repo", "1"), snapshot(store, 1))
    recent.put((None, "repo", "5"), snapshot(store, 5))
    recent.put((None, "repo", "5"), snapshot(store, 5))
    assert len(recent) == 1
    assert recent.get((None, "repo", "5"))


def test_a_commit_and_an_alias_are_read_once(
    hub: TestClient, backend: Watched, tiny: Manifest
) -> None:
    for asked in (tiny.commit, UPSTREAM):
        hub.get(f"/api/models/{REPO}/revision/{asked}")
        backend.calls.clear()
        assert hub.get(f"/api/models/{REPO}/revision/{asked}").json()["sha"] == asked
        assert hub.get(f"/api/models/acme/TINY-model/tree/{asked}").status_code == 200
        assert backend.calls == []


def test_a_branch_is_read_each_time(hub: TestClient, store: Store, tiny: Manifest) -> None:
    assert hub.get(f"/api/models/{REPO}").json()["sha"] == tiny.commit
    newer = add(store, {**FILES, "README.md": b"# Newer\n"})
    point(store, Ref("heads", "main"), newer)
    assert hub.get(f"/api/models/{REPO}").json()["sha"] == newer.commit
    assert hub.get(f"/{REPO}/resolve/main/README.md").content == b"# Newer\n"
    assert hub.get(f"/{REPO}/resolve/v1.0/README.md").content == b"# Tiny\n"


def test_what_was_missing_is_found_once_it_is_there(hub: TestClient, store: Store) -> None:
    path = f"/api/models/{REPO}/revision/{'b' * 40}"
    assert hub.get(path).status_code == 404
    newer = add(store, {"config.json": b"{}"})
    store.add_alias(REPO, "b" * 40, newer.commit)
    assert hub.get(path).json()["sha"] == "b" * 40


def test_many_who_ask_for_one_commit_cause_one_reading(
    hub: TestClient, backend: Watched, tiny: Manifest
) -> None:
    backend.calls.clear()
    path = f"/{REPO}/resolve/{tiny.commit}/config.json"
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: hub.head(path).status_code, range(64)))
    assert answers == [200] * 64
    alone = list(backend.calls)
    assert alone.count("list") == 1


def test_a_store_that_hangs_is_given_up() -> None:
    async def ask() -> None:
        threads = Threads("s3://b", patience=0.05)
        with pytest.raises(StoreUnreachable, match=r"no answer within 0\.05 s"):
            await threads.ask(time.sleep, 0.5)

    anyio.run(ask)


def test_a_store_that_hangs_holds_neither_threads_nor_signatures() -> None:
    async def ask() -> None:
        threads = Threads("s3://b", patience=0.2)
        ran: list[int] = []

        def hang(number: int) -> None:
            ran.append(number)
            time.sleep(0.6)

        async def one(number: int) -> None:
            with pytest.raises(StoreUnreachable):
                await threads.ask(hang, number)

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)
            assert await threads.sign(lambda: "signed") == "signed"
        await anyio.sleep(0.6)
        assert len(ran) == 32

    anyio.run(ask)


def test_a_failed_reading_is_shared_and_not_kept(store: Store, tiny: Manifest) -> None:
    async def ask() -> None:
        revisions = Revisions(store, Threads(store.url))
        failures = []

        async def one() -> None:
            try:
                await revisions.get(REPO, "c" * 40)
            except RevisionNotFound as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
        assert len(failures) == 5
        assert len(set(map(id, failures))) == 1
        store.add_alias(REPO, "c" * 40, tiny.commit)
        assert (await revisions.get(REPO, "c" * 40)).sha == "c" * 40

    anyio.run(ask)


def test_who_goes_away_does_not_stop_the_reading(store: Store, tiny: Manifest) -> None:
    async def ask() -> None:
        revisions = Revisions(store, Threads(store.url))
        with anyio.move_on_after(0):
            await revisions.get(REPO, tiny.commit)
        assert (await revisions.get(REPO, tiny.commit)).manifest == tiny

    anyio.run(ask)
