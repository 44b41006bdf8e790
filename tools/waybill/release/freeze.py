"""Freeze windows: from when to when nothing is promoted, by the clock of a place.

A window lasts by the clock on the wall: what begins on Friday at 18:00 and lasts 62 hours ends on
Monday at 08:00, also when clocks change on Sunday. A start that the clocks skip is the moment after
the skip, an end as much later as the clocks skip, and what comes twice is the first of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """One entry of `freeze`; `environments` is empty where it holds for all."""

    name: str
    cron: str
    duration: timedelta
    zone: ZoneInfo
    environments: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, name: str, cron: str, duration: timedelta, zone: str, environments: frozenset[str]
    ) -> Window:
        """Raises ValueError, in words for people."""
        try:
            known = ZoneInfo(zone)
            CronSim(cron, datetime.now(UTC))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"timeZone {zone!r} is not known, as Europe/Berlin is") from error
        except CronSimError as error:
            raise ValueError(f"cron {cron!r}: {error}") from error
        if len(cron.split()) != 5:
            raise ValueError(f"cron {cron!r}: it needs five fields")
        return cls(name, cron, duration, known, environments)

    def until(self, at: datetime) -> datetime | None:
        """When the window ends that `at` is in, in its own zone; None outside of it."""
        start = self._start(at)
        if start is None:
            return None
        end = self._end(start)
        return end if at.astimezone(UTC) < end.astimezone(UTC) else None

    def _start(self, at: datetime) -> datetime | None:
        """The last one up to `at`. One is sought from the day after, for near a change of clocks
        what is earlier on the wall may be later."""
        after = (at.astimezone(UTC) + _DAY).astimezone(self.zone)
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
