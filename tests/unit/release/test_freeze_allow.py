"""Windows that allow freeze all the time in which none of them is open; what denies wins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.release.site import Site
from tests.unit.release.test_freeze import BERLIN, wall
from tests.unit.release.test_gates import ALWAYS
from waybill.errors import BadFile, Frozen
from waybill.release import apply
from waybill.release.freeze import Window, frozen
from waybill.release.policy import Policy, span


def window(
    cron: str, duration: str, zone: str = BERLIN, *, name: str = "w", allows: bool = True
) -> Window:
    return Window.of(name, cron, span(duration), zone, frozenset(), allows=allows)


OFFICE = window("0 9 * * MON-FRI", "8h", name="office")
NIGHT = window("0 22 * * SAT", "4h", name="night")
LUNCH = window("0 12 * * *", "1h", name="lunch", allows=False)


def told(at: datetime, *windows: Window) -> str | None:
    found = frozen(windows, at)
    return found.told() if found else None


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-06-05T08:59:59", "until 2026-06-05T09:00+02:00, when office opens"),
        ("2026-06-05T09:00:00", None),
        ("2026-06-05T16:59:59", None),
        ("2026-06-05T17:00:00", "until 2026-06-06T22:00+02:00, when night opens"),
        ("2026-06-06T23:00:00", None),
        ("2026-06-07T02:00:00", "until 2026-06-08T09:00+02:00, when office opens"),
        ("2026-06-08T12:00:00", "until 2026-06-08T13:00+02:00, by lunch"),
        ("2026-06-08T13:00:00", None),
        # At noon on a Sunday both kinds freeze: lunch ends first, and none allows it then.
        ("2026-06-07T12:30:00", "until 2026-06-08T09:00+02:00, when office opens"),
    ],
)
def test_open_where_one_allows_and_none_denies(at: str, until: str | None) -> None:
    assert told(wall(at), LUNCH, OFFICE, NIGHT) == until


def test_windows_that_deny_alone_leave_the_rest_free() -> None:
    assert told(wall("2026-06-07T11:00"), LUNCH) is None
    assert told(wall("2026-06-07T11:00")) is None


@pytest.mark.parametrize(
    ("at", "fold", "until"),
    [
        # Clocks go forward at 02:00: what opens at 02:30 opens at 03:00.
        ("2026-03-29T01:59:59", 0, "2026-03-29T03:00+02:00"),
        ("2026-03-29T03:00:00", 0, None),
        ("2026-03-29T04:00:00", 0, "2026-03-30T02:30+02:00"),
        # Clocks go back at 03:00: what opens at 02:30 opens at the first of both.
        ("2026-10-25T02:15:00", 0, "2026-10-25T02:30+02:00"),
        ("2026-10-25T02:30:00", 0, None),
        ("2026-10-25T02:15:00", 1, None),
        ("2026-10-25T03:30:00", 0, "2026-10-26T02:30+01:00"),
    ],
)
def test_clocks_that_change_move_the_opening(at: str, fold: int, until: str | None) -> None:
    found = told(wall(at, fold=fold), window("30 2 * * *", "1h"))
    assert found == (f"until {until}, when w opens" if until else None)


@pytest.mark.parametrize(
    ("zone", "until"),
    [
        ("UTC", "2026-06-05T09:00+00:00"),
        ("Europe/Berlin", None),
        ("Asia/Kolkata", None),
        ("America/Los_Angeles", "2026-06-05T09:00-07:00"),
        ("Pacific/Kiritimati", "2026-06-06T09:00+14:00"),
        ("Australia/Lord_Howe", "2026-06-06T09:00+10:30"),
    ],
)
def test_each_zone_has_its_own_morning(zone: str, until: str | None) -> None:
    found = told(datetime(2026, 6, 5, 8, tzinfo=UTC), window("0 9 * * *", "8h", zone))
    assert found == (f"until {until}, when w opens" if until else None)


@pytest.mark.parametrize("week", ["2026-03-27", "2026-10-23"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 22 * * *", "*/40 1-3 * * *"])
def test_week_in_which_clocks_change_has_no_gap(week: str, cron: str) -> None:
    """Every 17 minutes: it is closed until it opens, and open then."""
    one = window(cron, "25m")
    start = datetime.fromisoformat(week).replace(tzinfo=UTC)
    for at in (start + timedelta(minutes=17 * step) for step in range(300)):
        opens = one.opens(at)
        assert opens.astimezone(UTC) > at
        assert one.until(opens)
        if not one.until(at):
            before = opens.astimezone(UTC) - timedelta(seconds=1)
            assert not one.until(before), at
            assert not one.until(at + (before - at) / 2), at


def office(**more: Any) -> dict[str, Any]:
    """A window that allows, and is not open now."""
    later = datetime.now(UTC) + timedelta(hours=3)
    cron = f"{later.minute} {later.hour} * * *"
    return {"kind": "allow", "cron": cron, "duration": "1h", "timeZone": "UTC", **more}


def test_outside_of_it_promotions_are_frozen_with_file_and_line(site: Site) -> None:
    site.policy(freeze={"office": office()})
    found = site.verdict("freeze")
    assert (found.result, found.file) == ("fail", "values/policy.yaml")
    lines = (site.project / "values/policy.yaml").read_text().splitlines()
    assert '"office"' in lines[int(found.line or 0) - 1]
    assert found.reason.endswith(", when office opens")
    told = r"test is frozen until .*, when office in values/policy.yaml:\d+ opens"
    with pytest.raises(Frozen, match=told) as caught:
        apply.carry_out(site.prepare())
    assert caught.value.exit_code == 6


def test_reason_overrides_what_no_window_allows_and_is_kept(site: Site) -> None:
    site.policy(freeze={"office": office()})
    apply.carry_out(site.prepare(override="cannot wait"))
    assert site.world.records("test")[0].why == "freeze overridden: cannot wait"


def test_open_window_passes_and_is_named(site: Site) -> None:
    site.policy(freeze={"office": {**ALWAYS, "kind": "allow"}, "late": office()})
    assert (site.verdict("freeze").result, site.verdict("freeze").reason) == (
        "pass",
        "allowed by office",
    )
    site.policy(freeze={"office": {**ALWAYS, "kind": "allow"}, "never": ALWAYS})
    assert site.verdict("freeze").reason.startswith("by never, ")


def test_window_of_another_environment_freezes_nothing_here(site: Site) -> None:
    site.policy(freeze={"office": office(environments=["prod"])})
    assert site.verdict("freeze").result == "skip"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"kind": "permit"}, "'permit' is not one of"),
        ({"cron": "0 0 */31 2 1#5"}, "cron '0 0 */31 2 1#5': there is no such day"),
    ],
)
def test_window_that_never_opens_is_refused(site: Site, more: dict[str, Any], why: str) -> None:
    site.policy(freeze={"office": office(**more)})
    with pytest.raises(BadFile) as caught:
        Policy.load(site.environments)
    assert why in str(caught.value)
