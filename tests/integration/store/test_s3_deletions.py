"""A deletion that comes late is refused by the server itself; one that is not answered is told."""

import datetime
import time
from collections.abc import Iterator

import pytest

from tests.faults import LOSE, Faults, faulty
from tests.integration.store.conftest import S3Place, backend_of, initialised, stored_key
from tests.services import Minio
from tests.store_contract import Place, keys_below
from waybill.errors import AccessDenied, BeingPruned, PruneHeldUp, StoreUnreachable
from waybill.store import layout, prune
from waybill.store.base import Stat
from waybill.store.connect import Access, connect
from waybill.store.lease import Lease, held, last_prune
from waybill.store.s3_signed import Expired, send_signed
from waybill.store.store import Store

KEY = layout.UPLOADS + "x"


@pytest.fixture
def store(place: Place) -> Store:
    made = initialised(place)
    made.backend.create(KEY, b"1")
    return made


def deletes(method: str, path: str) -> bool:  # noqa: ARG001
    return method == "DELETE"


def wrong_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """This client's clock is ahead (or behind) by so much."""
    real = time.time

    def now(remove_tzinfo: bool = True) -> datetime.datetime:
        found = datetime.datetime.fromtimestamp(real() + seconds, datetime.UTC)
        return found.replace(tzinfo=None) if remove_tzinfo else found

    patch.setattr(time, "time", lambda: real() + seconds)
    patch.setattr("botocore.auth.get_current_datetime", now)


def test_a_request_that_hung_is_refused_by_the_server(store: Store) -> None:
    client = backend_of(store).client
    url = client.generate_presigned_url("delete_object", stored_key(store, KEY), ExpiresIn=1)
    time.sleep(2.1)
    with pytest.raises(Expired):
        send_signed(client, "DELETE", url)
    assert store.backend.read(KEY) == b"1"


def test_a_clock_that_is_behind_does_not_delete_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = store.backend.now()
    wrong_clock(monkeypatch, -600)
    assert abs(store.backend.now() - now) < 5, "it is the server's"
    with pytest.raises(PruneHeldUp):
        store.backend.delete(KEY, now - 5)
    assert store.backend.read(KEY) == b"1"
    assert store.backend.delete(KEY, now + 60)
    assert store.backend.read(KEY) is None


def test_a_clock_that_is_ahead_deletes_nothing_or_in_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = store.backend.now()
    wrong_clock(monkeypatch, 100)
    with pytest.raises(PruneHeldUp, match="was held up"):
        store.backend.delete(KEY, now + 60)
    assert store.backend.delete(KEY, now + 180)


def test_wrong_keys_and_no_server_are_told_apart(store: Store, place: Place) -> None:
    until = store.backend.now() + 60
    stranger = connect(place.url, Access(place.access.endpoint, "wrong-secret"))
    with pytest.raises(AccessDenied):
        stranger.backend.delete(KEY, until)
    nobody = connect(place.url, Access("http://127.0.0.1:1"))
    with pytest.raises(StoreUnreachable):
        nobody.backend.delete(KEY, until)
    assert store.backend.read(KEY) == b"1"


@pytest.fixture
def proxy(minio: Minio) -> Iterator[Faults]:
    with faulty(minio.endpoint) as faults:
        yield faults


def test_after_a_lost_answer_the_lease_has_to_lapse(
    store: Store, place: Place, proxy: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion that was not answered may come to the store yet."""
    monkeypatch.setattr(prune, "_PAUSES", (0.0, 0.0))
    through = S3Place(place.url, Access(endpoint=proxy.endpoint)).open()

    def delete_it(lease: Lease) -> None:
        doomed = prune.Candidate(Stat(KEY, 1), "before")
        plan = prune.Plan(through, (doomed,), (), {}, {}, "now")
        prune.carry_out(plan, lease)

    with held(through, "me") as mine:
        delete_it(mine)
    assert last_prune(store) and keys_below(store, layout.UPLOADS) == []
    store.backend.create(KEY, b"1")
    proxy.next(LOSE, deletes)
    with held(through, "me") as mine:
        delete_it(mine)
    assert keys_below(store, layout.UPLOADS) == [] and last_prune(store) is None
    with pytest.raises(BeingPruned), held(store, "you"):
        pass
