"""Freeze windows go by the clock on the wall of their zone, also when clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from waybill.release.freeze import Window
from waybill.release.policy import span

BERLIN = "Europe/Berlin"


def window(cron: str, duration: str, zone: str = BERLIN) -> Window:
    return Window.of("w", cron, span(duration), zone, frozenset())


def wall(text: str, zone: str = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def ends(found: datetime | None) -> str | None:
    return found.isoformat(timespec="minutes") if found else None


WEEKEND = "0 18 * * FRI", "62h"


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-06-05T17:59:59", None),
        ("2026-06-05T18:00:00", "2026-06-08T08:00+02:00"),
        ("2026-06-07T23:00:00", "2026-06-08T08:00+02:00"),
        ("2026-06-08T07:59:59", "2026-06-08T08:00+02:00"),
        ("2026-06-08T08:00:00", None),
    ],
)
def test_first_moment_is_frozen_and_the_end_is_free(at: str, until: str | None) -> None:
    assert ends(window(*WEEKEND).until(wall(at))) == until


@pytest.mark.parametrize(
    ("at", "until"),
    [
        # Clocks go forward on Sunday: 61 hours pass.
        ("2026-03-29T12:00:00", "2026-03-30T08:00+02:00"),
        # Clocks go back on Sunday: 63 hours pass.
        ("2026-10-25T12:00:00", "2026-10-26T08:00+01:00"),
    ],
)
def test_weekend_ends_on_monday_at_eight_when_clocks_change(at: str, until: str) -> None:
    assert ends(window(*WEEKEND).until(wall(at))) == until


@pytest.mark.parametrize(
    ("at", "frozen"),
    [("2026-03-29T01:59:59", False), ("2026-03-29T03:00:00", True), ("2026-03-29T04:00:00", False)],
)
def test_start_that_the_clocks_skip_is_the_moment_after(at: str, frozen: bool) -> None:
    assert (window("30 2 * * *", "1h").until(wall(at)) is not None) is frozen


def test_end_that_the_clocks_skip_comes_as_much_later() -> None:
    assert ends(window("0 22 * * *", "270m").until(wall("2026-03-29T01:00"))) == (
        "2026-03-29T03:30+02:00"
    )
    assert ends(window("45 1 * * *", "30m").until(wall("2026-03-29T01:50"))) == (
        "2026-03-29T03:15+02:00"
    )


def test_end_that_comes_twice_is_the_first() -> None:
    assert ends(window("0 22 * * *", "270m").until(wall("2026-10-25T01:00"))) == (
        "2026-10-25T02:30+02:00"
    )


@pytest.mark.parametrize(
    ("at", "fold", "until"),
    [
        ("2026-10-25T02:15", 0, None),
        ("2026-10-25T02:30", 0, "2026-10-25T03:30+01:00"),
        # Earlier on the wall than the start, and an hour later.
        ("2026-10-25T02:15", 1, "2026-10-25T03:30+01:00"),
        ("2026-10-25T02:45", 1, "2026-10-25T03:30+01:00"),
        ("2026-10-25T03:30", 0, None),
    ],
)
def test_start_that_comes_twice_is_the_first(at: str, fold: int, until: str | None) -> None:
    assert ends(window("30 2 * * *", "1h").until(wall(at, fold=fold))) == until


def test_short_window_in_the_hour_that_comes_twice_stays_short() -> None:
    every = window("*/30 * * * *", "5m")
    assert ends(every.until(wall("2026-10-25T02:02", fold=0))) == "2026-10-25T02:05+02:00"
    assert ends(every.until(wall("2026-10-25T02:02", fold=1))) == "2026-10-25T02:05+01:00"
    assert every.until(wall("2026-10-25T02:10", fold=0)) is None


@pytest.mark.parametrize(
    ("zone", "at", "frozen"),
    [
        ("UTC", "2026-12-31T23:30+00:00", True),
        ("Asia/Kolkata", "2026-12-31T17:31+00:00", True),
        ("Asia/Kolkata", "2026-12-31T23:30+00:00", False),
        ("America/Los_Angeles", "2027-01-01T07:30+00:00", True),
        ("Pacific/Apia", "2026-12-31T10:30+00:00", True),
        ("Australia/Lord_Howe", "2026-12-31T12:30+00:00", True),
    ],
)
def test_each_zone_has_its_own_midnight(zone: str, at: str, frozen: bool) -> None:
    found = window("0 23 31 12 *", "1h", zone).until(datetime.fromisoformat(at))
    assert (found is not None) is frozen


@pytest.mark.parametrize(
    ("at", "frozen"), [("15:29", False), ("15:31", True), ("16:29", True), ("16:31", False)]
)
def test_clocks_that_change_by_half_an_hour_skip_a_start_as_others_do(
    at: str, frozen: bool
) -> None:
    """On Lord Howe 02:00 is 02:30 on that Sunday: there is no 02:15, so the hour begins then."""
    found = window("15 2 4 10 *", "1h", "Australia/Lord_Howe")
    moment = datetime.fromisoformat(f"2026-10-03T{at}+00:00")
    assert (found.until(moment) is not None) is frozen


@pytest.mark.parametrize("week", ["2026-03-27", "2026-10-23"])
def test_week_in_which_clocks_change_agrees_with_counting(week: str) -> None:
    """Against the plain reading of the words, every 17 minutes."""
    zone, found = ZoneInfo(BERLIN), window("0 22 * * *", "8h")
    start = datetime.fromisoformat(week).replace(tzinfo=UTC)
    for at in (start + timedelta(minutes=17 * step) for step in range(300)):
        hour = at.astimezone(zone).hour
        assert (found.until(at) is not None) is (hour >= 22 or hour < 6), at


def test_window_longer_than_its_period_never_ends() -> None:
    always = window("0 0 * * *", "2d")
    for hour in range(48):
        assert always.until(datetime(2026, 5, 5, tzinfo=UTC) + timedelta(hours=hour))


@pytest.mark.parametrize(
    ("cron", "zone", "why"),
    [
        ("0 0 30 2 *", BERLIN, "cron '0 0 30 2 \\*'"),
        ("at noon", BERLIN, "cron 'at noon'"),
        ("0 0 0 * * *", BERLIN, "it needs five fields"),
        ("0 0 * * *", "Europe/Nowhere", "timeZone 'Europe/Nowhere' is not known"),
        ("0 0 * * *", "../../etc/passwd", "is not known"),
        ("0 0 * * *", "", "is not known"),
    ],
)
def test_what_cannot_be_understood_is_refused(cron: str, zone: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        window(cron, "1h", zone)
