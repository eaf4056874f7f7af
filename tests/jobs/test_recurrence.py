"""When a periodic job is due, through the clock changes of Europe/Berlin and America/New_York."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
# The days on which the clocks change in 2026, forward and back.
SPRING = {BERLIN: datetime(2026, 3, 29), NEW_YORK: datetime(2026, 3, 8)}
AUTUMN = {BERLIN: datetime(2026, 10, 25), NEW_YORK: datetime(2026, 11, 1)}
ZONES = (BERLIN, NEW_YORK)


def moments(expression: str, zone: str, day: datetime, days: int = 1) -> list[datetime]:
    """Those of so many days by the zone's clock."""
    from offload.jobs.recurrence import Cron

    start = day.replace(tzinfo=ZoneInfo(zone))
    just_before = start.astimezone(UTC) - timedelta(seconds=1)
    end = (start + timedelta(days=days)).astimezone(UTC) - timedelta(seconds=1)
    return Cron(expression, zone).between(just_before, end, 10_000)


def shown(found: list[datetime], zone: str) -> list[str]:
    """What the clock on the wall shows."""
    return [f"{each.astimezone(ZoneInfo(zone)):%H:%M%z}" for each in found]


OFFSETS = {BERLIN: ("+0100", "+0200"), NEW_YORK: ("-0500", "-0400")}


@pytest.mark.parametrize("zone", ZONES)
def test_a_named_hour_that_is_skipped_comes_an_hour_later_on_that_day(zone: str) -> None:
    winter, summer = OFFSETS[zone]
    day = SPRING[zone]
    assert shown(moments("30 2 * * *", zone, day - timedelta(days=1), 3), zone) == [
        f"02:30{winter}",
        f"03:30{summer}",
        f"02:30{summer}",
    ]
    # Both times are the same moment.
    assert shown(moments("30 2,3 * * *", zone, day), zone) == [f"03:30{summer}"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_named_hour_that_comes_twice_counts_once(zone: str) -> None:
    winter, summer = OFFSETS[zone]
    hour = {BERLIN: 2, NEW_YORK: 1}[zone]
    found = moments(f"30 {hour} * * *", zone, AUTUMN[zone] - timedelta(days=1), 3)
    assert shown(found, zone) == [
        f"0{hour}:30{summer}",
        f"0{hour}:30{summer}",
        f"0{hour}:30{winter}",
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_is_an_hour_after_the_last_one(zone: str) -> None:
    for day, hours in ((SPRING[zone], 23), (AUTUMN[zone], 25)):
        found = moments("15 * * * *", zone, day)
        assert len(found) == hours
        steps = {after - before for before, after in itertools.pairwise(found)}
        assert steps == {timedelta(hours=1)}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["forward", "back"])
@pytest.mark.parametrize("expression", ["* * * * *", "*/7 */2 * * *", "5,50 * * * 0"])
def test_an_hour_field_with_a_star_is_what_the_clock_shows_minute_by_minute(
    zone: str, change: dict[str, datetime], expression: str
) -> None:
    from celery.schedules import crontab

    fields = crontab.from_string(expression)
    day = change[zone] - timedelta(days=1)
    minute = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = (day + timedelta(days=3)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    expected = []
    while minute < end:
        wall = minute.astimezone(ZoneInfo(zone))
        if (
            wall.minute in fields.minute
            and wall.hour in fields.hour
            and wall.isoweekday() % 7 in fields.day_of_week
        ):
            expected.append(minute)
        minute += timedelta(minutes=1)
    assert moments(expression, zone, day, 3) == expected


@pytest.mark.parametrize("zone", ZONES)
def test_the_next_moments_are_those_between(zone: str) -> None:
    from offload.jobs.recurrence import Cron

    for change in (SPRING[zone], AUTUMN[zone]):
        for expression in ("30 2 * * *", "*/20 * * * *", "0 1-3 * * sun"):
            start = change - timedelta(days=1)
            expected = moments(expression, zone, start, 3)
            moment = start.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(seconds=1)
            found = []
            for _ in expected:
                moment = Cron(expression, zone).next_after(moment)
                found.append(moment)
            assert found == expected


def test_a_time_that_is_skipped_before_midnight_comes_on_the_next_day() -> None:
    from offload.jobs.recurrence import Cron

    # On this day 23:00 is followed by 00:00 of Sunday, which is 01:00 UTC.
    zone, saturday = "America/Nuuk", datetime(2026, 3, 28)
    midnight = datetime(2026, 3, 29, 1, tzinfo=UTC)
    cron = Cron("45 23 * * *", zone)
    expected = [midnight + timedelta(minutes=45), midnight + timedelta(hours=23, minutes=45)]
    assert moments("45 23 * * *", zone, saturday, 2) == expected
    # A process that starts after midnight, too, sees that it is still to come.
    assert cron.next_after(midnight + timedelta(minutes=5)) == expected[0]
    assert cron.between(midnight, expected[0], 9) == [expected[0]]
    # The named 00:00 comes before it, and once.
    both = Cron("0,45 0,23 * * *", zone)
    assert both.between(midnight - timedelta(hours=1), expected[0], 9) == [midnight, expected[0]]
    assert both.next_after(midnight - timedelta(hours=1)) == midnight


def test_days_of_the_month_and_of_the_week_are_those_of_the_zone() -> None:
    # 06:00 in Berlin on March 1 and 2; it is still February in UTC before 01:00.
    found = moments("30 0 1 * *", BERLIN, datetime(2026, 2, 27), 4)
    assert found == [datetime(2026, 2, 28, 23, 30, tzinfo=UTC)]
    weekdays = moments("0 6 * * mon-fri", BERLIN, datetime(2026, 11, 23), 7)
    assert [each.day for each in weekdays] == [23, 24, 25, 26, 27]


def test_a_leap_day_comes_after_years() -> None:
    from offload.jobs.recurrence import Cron

    leap = Cron("0 12 29 2 *", "UTC")
    assert leap.next_after(datetime(2096, 3, 1, tzinfo=UTC)).year == 2104
    leap_sunday = Cron("0 12 29 2 */7", "UTC")
    assert leap_sunday.next_after(datetime(2088, 3, 1, tzinfo=UTC)).year == 2128


def test_the_last_moments_of_many_are_those_that_count() -> None:
    from offload.jobs.recurrence import Cron, Every

    year = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    for recurrence in (Cron("* * * * *", BERLIN), Every(60.0)):
        found = recurrence.between(*year, 3)
        assert [each.minute for each in found] == [58, 59, 0]
        assert recurrence.between(found[-1], found[-1], 3) == []


@pytest.mark.parametrize("seconds", [0.1, 0.3, 7.0, 3600.0])
def test_an_interval_has_each_moment_once_although_the_database_rounds_it(seconds: float) -> None:
    from offload.jobs.recurrence import Every

    every = Every(seconds)
    moment = datetime(2026, 11, 26, 4, 27, 14, 123457, tzinfo=UTC)
    seen = [moment := every.next_after(moment) for _ in range(500)]
    assert every.between(seen[0], seen[-1], 1000) == seen[1:]
    assert len(set(seen)) == 500
