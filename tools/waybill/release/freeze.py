"""Freeze windows: when nothing is promoted, and when alone something is, by the clock of a place.

A window denies from its start to its end. One that allows freezes all the time that neither it nor
another one of its kind is open; where one denies, none allows.

A window lasts by the clock on the wall: what begins on Friday at 18:00 and lasts 62 hours ends on
Monday at 08:00, also when clocks change on Sunday. A start that the clocks skip is the moment after
the skip, an end as much later as the clocks skip, and what comes twice is the first of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_CHANGE = timedelta(hours=3)
"""More than clocks change by at one time."""
_LOOKS = 50
"""Ends and openings that are followed to a moment at which nothing freezes."""


@dataclass(frozen=True)
class Window:
    """One entry of `freeze`; `environments` is empty where it holds for all.

    `allows`: it says when something may be promoted, and not when nothing is.
    """

    name: str
    cron: str
    duration: timedelta
    zone: ZoneInfo
    environments: frozenset[str] = frozenset()
    allows: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        cron: str,
        duration: timedelta,
        zone: str,
        environments: frozenset[str],
        *,
        allows: bool = False,
    ) -> Window:
        """Raises ValueError, in words for people."""
        try:
            known = ZoneInfo(zone)
            comes = next(CronSim(cron, datetime.now(UTC)), None)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"timeZone {zone!r} is not known, as Europe/Berlin is") from error
        except CronSimError as error:
            raise ValueError(f"cron {cron!r}: {error}") from error
        if len(cron.split()) != 5:
            raise ValueError(f"cron {cron!r}: it needs five fields")
        if comes is None:
            raise ValueError(f"cron {cron!r}: there is no such day")
        return cls(name, cron, duration, known, environments, allows)

    def until(self, at: datetime) -> datetime | None:
        """When the window ends that `at` is in, in its own zone; None outside of it."""
        start = self._start(at)
        if start is None:
            return None
        end = self._end(start)
        return end if at.astimezone(UTC) < end.astimezone(UTC) else None

    def opens(self, at: datetime) -> datetime:
        """Its first start after `at`, in its own zone."""
        found = CronSim(self.cron, at.astimezone(self.zone))
        # What is later on the wall was earlier, where an hour comes twice.
        return next(start for start in found if start.astimezone(UTC) > at)

    def _start(self, at: datetime) -> datetime | None:
        """The last one up to `at`. One is sought from hours after, for near a change of clocks
        what is earlier on the wall may be later."""
        after = (at.astimezone(UTC) + _CHANGE).astimezone(self.zone)
        for start in CronSim(self.cron, after, reverse=True):
            if start.astimezone(UTC) <= at:
                return start
        return None

    def _end(self, start: datetime) -> datetime:
        passed = (start.astimezone(UTC) + self.duration).astimezone(self.zone)
        wall = start + self.duration
        if passed.replace(tzinfo=None) == wall.replace(tzinfo=None):
            return passed
        return wall.replace(fold=0).astimezone(UTC).astimezone(self.zone)

    def holds_for(self, environment: str) -> bool:
        return not self.environments or environment in self.environments


@dataclass(frozen=True)
class Freeze:
    """Nothing is promoted until then, when no window freezes: `window` is the last that denies
    before, or the one that allows then. None: no such moment is near, and `window` freezes now."""

    window: Window
    until: datetime | None

    def told(self, name: str = "") -> str:
        """For people; `name` is what they call the window, if not by its own."""
        name, allows = name or self.window.name, self.window.allows
        if self.until is None:
            return f"{'outside of' if allows else 'by'} {name}, with no end in sight"
        why = f"when {name} opens" if allows else f"by {name}"
        return f"until {self.until.isoformat(timespec='minutes')}, {why}"


def frozen(windows: Iterable[Window], at: datetime) -> Freeze | None:
    """None where no window denies it, and one allows it or none is there to allow.

    What denies may end while none allows, and what allows may open while one denies: so ends and
    openings are followed to the first moment at which this would give None.
    """
    known = list(windows)
    found = first = _change(known, at)
    for _ in range(_LOOKS):
        if found is None:
            return None
        following = _change(known, found[1])
        if following is None:
            return Freeze(*found)
        found = following
    return Freeze(first[0], None) if first else None


def _change(known: Sequence[Window], at: datetime) -> tuple[Window, datetime] | None:
    """Where something freezes at the time: which of those that deny ends last, or else which one
    allows it first, and when."""
    ends = [(one, until) for one in known if not one.allows and (until := one.until(at))]
    allowing = [one for one in known if one.allows]
    if ends or any(one.until(at) for one in allowing):
        return max(ends, key=_moment, default=None)
    return min(((one, one.opens(at)) for one in allowing), key=_moment, default=None)


def _moment(change: tuple[Window, datetime]) -> float:
    return change[1].timestamp()
