"""Media that come one after the other into the same directories."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from waybill.bundle.format import Part, spans
from waybill.errors import ForeignPart, PartMissing, PartTruncated, Unreadable
from waybill.store.base import Advance, no_progress

if TYPE_CHECKING:
    from waybill.bundle.media import Bundle

POLL = 0.5
"""Seconds between two looks at the directories."""


@dataclass
class Tray:
    """Waits for parts. `ask` is told what people should do, `advance` may stop the waiting."""

    ask: Callable[[str], None]
    advance: Advance = no_progress
    _told: set[str] = field(default_factory=set)

    def wait(self, bundle: Bundle, parts: Sequence[Part]) -> None:
        """Return when one of the parts is there, whole as far as its size and headers tell."""
        wanted = sorted(set(parts), key=lambda part: part.number)
        while not any(self._is_here(bundle, part) for part in wanted):
            if missing := [part.number for part in wanted if bundle.path(part) is None]:
                self._tell(f"insert the medium with {spans(missing)}")
            self.advance(0)
            time.sleep(POLL)

    def _is_here(self, bundle: Bundle, part: Part) -> bool:
        """A part that is wrong may still be on its way: it is told, and looked at again."""
        try:
            bundle.require([part])
        except PartMissing:
            return False
        except (PartTruncated, ForeignPart, Unreadable) as error:
            self._tell(str(error))
            return False
        return True

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.ask(text)
