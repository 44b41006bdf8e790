"""What a freeze says of its end: a moment at which a promotion passes, the first one, or none."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.release.test_freeze import BERLIN, wall
from waybill.release.freeze import Window, frozen
from waybill.release.policy import span

ZONES = ("UTC", BERLIN, "Asia/Kolkata", "America/Los_Angeles", "Australia/Lord_Howe")
CRONS = (
    "0 9 * * MON-FRI", "30 2 * * *", "0 18 * * FRI", "0 0 1 * *", "*/40 1-3 * * *", "0 12 * * SUN",
    "15 */6 * * *", "0 0 15 12 *",
)  # fmt: skip
DURATIONS = ("5m", "90m", "8h", "26h", "62h", "3d")
MINUTES = 365 * 24 * 60


def window(cron: str, duration: str, *, zone: str = BERLIN, allows: bool = False) -> Window:
    name = f"{'allow' if allows else 'deny'} {cron}"
    return Window.of(name, cron, span(duration), zone, frozenset(), allows=allows)


made = st.builds(
    window,
    st.sampled_from(CRONS),
    st.sampled_from(DURATIONS),
    zone=st.sampled_from(ZONES),
    allows=st.booleans(),
)
moments = st.integers(0, MINUTES).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(deadline=None, max_examples=100)
@given(st.lists(made, min_size=1, max_size=4), moments)
def test_at_its_end_a_freeze_is_over_and_before_it_is_not(
    windows: list[Window], at: datetime
) -> None:
    found = frozen(windows, at)
    if found is None:
        return
    end = found.until.astimezone(UTC) if found.until else at + timedelta(days=5)
    assert end > at
    assert found.until is None or frozen(windows, found.until) is None
    for part in range(10):
        assert frozen(windows, at + (end - at) * part / 10)


OFFICE = window("0 9 * * MON-FRI", "8h", allows=True)


@pytest.mark.parametrize(
    ("denies", "until"),
    [
        # It ends at night: the office opens first.
        (("0 18 * * FRI", "7h"), "until 2026-06-08T09:00+02:00, when allow 0 9 * * MON-FRI opens"),
        # It lasts into Monday, when the office is open already.
        (("0 18 * * FRI", "65h"), "until 2026-06-08T11:00+02:00, by deny 0 18 * * FRI"),
        # It begins on Monday before the office opens.
        (("0 8 * * MON", "2h"), "until 2026-06-08T10:00+02:00, by deny 0 8 * * MON"),
    ],
)
def test_end_that_is_told_is_one_at_which_it_is_allowed(
    denies: tuple[str, str], until: str
) -> None:
    found = frozen([window(*denies), OFFICE], wall("2026-06-05T18:30"))
    assert found and found.told() == until


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-06-05T20:00", "outside of allow 0 9 * * MON-FRI, with no end in sight"),
        ("2026-06-05T09:30", "by deny 0 8 * * *, with no end in sight"),
    ],
)
def test_no_end_is_told_where_none_is_near(at: str, told: str) -> None:
    found = frozen([window("0 8 * * *", "10h"), OFFICE], wall(at))
    assert found and (found.until, found.told()) == (None, told)
