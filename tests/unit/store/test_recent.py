"""What a process keeps of the blobs that it read."""

from __future__ import annotations

from waybill import digest as digests
from waybill.store.recent import Recent


def test_what_was_asked_for_last_stays_within_its_room() -> None:
    recent = Recent(room=10)
    old, used, new = (digests.of(data) for data in (b"old", b"used", b"new"))
    recent.keep(old, b"12345")
    recent.keep(used, b"12345")
    assert recent.get(old) == recent.get(used) == b"12345"
    recent.keep(new, b"1")
    assert (recent.get(old), recent.get(used), recent.get(new)) == (None, b"12345", b"1")


def test_the_same_twice_takes_room_once_and_what_is_larger_than_all_of_it_is_not_kept() -> None:
    recent, one, other = Recent(room=10), digests.of(b"one"), digests.of(b"other")
    recent.keep(one, b"12345")
    recent.keep(one, b"12345")
    recent.keep(other, b"12345")
    assert recent.get(one) == recent.get(other) == b"12345"
    recent.keep(digests.of(b"large"), b"12345678901")
    assert recent.get(digests.of(b"large")) is None
