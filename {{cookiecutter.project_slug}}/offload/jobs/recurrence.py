"""When a periodic job is due: every so many seconds, or by a cron expression in a time zone.

What a clock change does to a cron expression (as Debian's cron does it):

1. An hour field that begins with `*` goes by the time that passes: a time that is skipped is
   skipped, and one that comes twice counts twice.
2. Named hours come once on each of their days: a time that is skipped comes an hour later, and of
   one that comes twice the first counts.
"""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab

# Added to a moment before its interval is computed: the database keeps microseconds, and a multiple
# of 0.1 s is no binary number.
ROUNDING_SECONDS = 1e-4
# The next occurrence is looked for in so many days. February 29 comes after eight years at most,
# and on a Sunday (`0 0 29 2 */7`) after 40.
MAX_SEARCH_DAYS = 366 * 41


class Every:
    """Each multiple of an interval since 1970. A new job begins with the current one.

    Raises:
        ValueError: the interval is not positive.
    """

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError(f"every must be a positive number of seconds, not {seconds:g}")
        self._seconds = seconds

    def __str__(self) -> str:
        return f"every {self._seconds:g} s"

    def between(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` moments after `after`, up to and including `until`, oldest first."""
        last = self._number(until)
        first = max(self._number(after) + 1, last - count + 1)
        return [self._moment(number) for number in range(first, last + 1)]

    def next_after(self, moment: datetime) -> datetime:
        """The first moment after this one."""
        return self._moment(self._number(moment) + 1)

    def beginning(self, now: datetime) -> datetime:
        """From when on a service that has just learned of the job submits it."""
        return now - timedelta(seconds=self._seconds)

    def _number(self, moment: datetime) -> int:
        return math.floor((moment.timestamp() + ROUNDING_SECONDS) / self._seconds)

    def _moment(self, number: int) -> datetime:
        return datetime.fromtimestamp(number * self._seconds, UTC)


class Cron:
    """The times of a cron expression by the clock of a time zone.

    Args:
        expression: minute, hour, day of the month, month and weekday (0 or `sun` to 6), as in
            `30 6 * * mon-fri`.
        timezone: its IANA name.

    Raises:
        ValueError: the expression or the time zone is wrong.
    """

    def __init__(self, expression: str, timezone: str) -> None:
        self._text = f"{expression} {timezone}"
        try:
            self._fields: Any = crontab.from_string(expression)
        except (ValueError, ParseException) as error:
            raise ValueError(
                f"cron {expression!r} must have minute, hour, day of the month, month and weekday "
                f"(0 or sun to 6): {error}"
            ) from error
        try:
            self._zone = ZoneInfo(timezone)
        # OSError for the name of a folder, such as `Europe`.
        except (ValueError, LookupError, OSError) as error:
            raise ValueError(f"no time zone {timezone!r}: give its IANA name") from error

        _, hour, month_day, _, weekday = expression.split()
        if not month_day.startswith("*") and not weekday.startswith("*"):
            raise ValueError(
                f"cron {expression!r} names days of the month and of the week, which programs "
                "understand differently: name one of them, and write * for the other"
            )
        self._by_elapsed_time = hour.startswith("*")

    def __str__(self) -> str:
        return self._text

    def between(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """See `Every`."""
        day, first_day = (moment.astimezone(self._zone).date() for moment in (until, after))
        found: list[datetime] = []
        while day >= first_day and len(found) < count:
            found = [each for each in self._moments(day) if after < each <= until] + found
            day -= timedelta(days=1)
        return found[-count:]

    def next_after(self, moment: datetime) -> datetime:
        """See `Every`."""
        today = moment.astimezone(self._zone).date()
        for days in range(MAX_SEARCH_DAYS):
            for each in self._moments(today + timedelta(days=days)):
                if each > moment:
                    return each
        raise AssertionError(f"{self} never comes")

    def beginning(self, now: datetime) -> datetime:
        """See `Every`."""
        return now

    def _moments(self, day: date) -> list[datetime]:
        """The moments of one day of the zone, in their order."""
        if self._by_elapsed_time:
            return self._named_by(day)
        # A skipped time may come after midnight: Greenland's clocks skip 23:00.
        named = {*self._named_by(day - timedelta(days=1)), *self._named_by(day)}
        return sorted(each for each in named if each.astimezone(self._zone).date() == day)

    def _named_by(self, day: date) -> list[datetime]:
        """The moments that the expression names for one day, in their order."""
        fields = self._fields
        named = (
            day.month in fields.month_of_year
            and day.day in fields.day_of_month
            and day.isoweekday() % 7 in fields.day_of_week
        )
        if not named:
            return []

        times = (time(hour, minute) for hour in fields.hour for minute in fields.minute)
        return sorted({each for clock in times for each in self._at(day, clock)})

    def _at(self, day: date, clock: time) -> Iterator[datetime]:
        """When a clock on the wall shows this time: once, twice, or never."""
        wall = datetime.combine(day, clock)
        first, second = (
            wall.replace(fold=fold, tzinfo=self._zone).astimezone(UTC) for fold in (0, 1)
        )
        # Of a skipped time, this is as much later as the clock was put forward (PEP 495).
        if not self._by_elapsed_time:
            yield first
            return

        for each in (first, second):
            if each.astimezone(self._zone).replace(tzinfo=None, fold=0) == wall:
                yield each


# The moments at which a periodic job is due, all in UTC.
Recurrence = Every | Cron


@lru_cache(maxsize=1000)
def recurrence_of(every: float | None, cron: str | None, timezone: str) -> Recurrence | None:
    """What a declaration says; None where the job is not periodic.

    Raises:
        ValueError: it is wrong.
    """
    if every is not None and cron is not None:
        raise ValueError("give every or cron, not both")
    if cron is not None:
        return Cron(cron, timezone)
    return Every(every) if every is not None else None
