"""Notices that the database's clock was put forward or back."""

from datetime import datetime
from typing import NamedTuple

# Seconds. A clock that is corrected by less moves no lease over its end.
MIN_STEP_SECONDS = 1.0


class _Reading(NamedTuple):
    """What the clock said, between two times of `time.monotonic()`."""

    now: datetime
    asked_at: float
    answered_at: float


class DatabaseClock:
    """The database's clock, held against this process's monotonic one at each reading."""

    def __init__(self) -> None:
        # By how many seconds it was put forward since `take_step`; negative where it was put back.
        self.step = 0.0
        self._last: _Reading | None = None

    def read(self, now: datetime, asked_at: float, answered_at: float) -> None:
        """Note what the clock says.

        Args:
            asked_at: `time.monotonic()` before the statement that read it.
            answered_at: the same after it.
        """
        last, self._last = self._last, _Reading(now, asked_at, answered_at)
        if last is None:
            return
        # The moments of the two answers are known no better than this.
        went = (now - last.now).total_seconds()
        step = max(went - (answered_at - last.asked_at), 0.0)
        step += min(went - (asked_at - last.answered_at), 0.0)
        if abs(step) > MIN_STEP_SECONDS:
            self.step += step

    def take_step(self) -> float:
        """The step since the last call; 0 where the clock was not put, as far as can be told."""
        step, self.step = self.step, 0.0
        return step
