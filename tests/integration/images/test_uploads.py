"""How much of a medium is read where the line to a real registry breaks, and how often."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

import pytest

from tests.faults import BROKEN, DROP, LOSE, faulty
from tests.integration.images.conftest import PIECE
from tests.integration.source.registry import Registry
from tests.store_contents import noise
from waybill import digest as digests
from waybill.manifest import Descriptor
from waybill.source.reach import Reach
from waybill.source.reference import Place
from waybill.source.uploads import Uploads
from waybill.store.base import BytesContent, no_progress

PIECES = 12
LAYER = noise(PIECES * PIECE + 1234, 4)
BLOB = Descriptor("application/vnd.oci.image.layer.v1.tar", digests.of(LAYER), len(LAYER))


class Stream(io.BytesIO):
    def __init__(self, data: bytes, tell: Callable[[int], None]) -> None:
        super().__init__(data)
        self._tell = tell

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._tell(len(data))
        return data


@dataclass(frozen=True)
class Medium(BytesContent):
    """Knows how many bytes it gave, with each time that it was read."""

    given: list[int] = field(default_factory=list)

    def open(self, offset: int, length: int) -> IO[bytes]:
        return Stream(self.data[offset : offset + length], self.given.append)


@pytest.mark.parametrize(("fault", "again"), [(LOSE, 0), (BROKEN, 1), (DROP, 1)])
def test_a_break_costs_the_medium_one_piece_at_most(
    fault: str, again: int, empty: Registry
) -> None:
    medium = Medium(LAYER)
    with faulty(f"http://{empty.host}") as wire:
        # Each piece after the first is broken once: more often, and one has to wait.
        asked = iter(range(1000))
        wire.next(fault, lambda verb, _: verb == "PATCH" and next(asked) % 2 == 1, times=5)
        place = Place.parse(wire.endpoint.removeprefix("http://"))
        Uploads(place, "acme/hub", Reach()).upload(BLOB, medium, no_progress)
        assert wire.done[fault] == 5
    assert empty.blob(BLOB.digest).read_bytes() == LAYER
    assert sum(medium.given) <= len(LAYER) + again * 5 * PIECE
