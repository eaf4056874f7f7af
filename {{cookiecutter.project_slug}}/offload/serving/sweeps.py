"""Looks twice a second for what has no time left, so that no request needs a timer of its own."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

logger = logging.getLogger("offload.serving")

# A time limit is exceeded by no more than this. `asyncio.timeout` would be exact, and cost each
# request 17 us of some 130.
SWEEP_INTERVAL_SECONDS = 0.5

# A sweep that is so late comes after a time in which the loop stood still, or the whole machine.
# What clients have sent meanwhile is still to be read, and what is done still to be answered.
LATE_SECONDS = 0.5
# So nobody has been slow, and the sweep is put off by this time.
PUT_OFF_SECONDS = 0.1

# Is given the present `perf_counter()`, in seconds.
Check = Callable[[float], None]


class Sweeps:
    """Calls the checks of the layers, or of the connections, while the process serves."""

    def __init__(self) -> None:
        self._checks: list[Check] = []

    def add(self, check: Check) -> None:
        """Call this at each sweep."""
        self._checks.append(check)

    async def run(self) -> None:
        """Sweep until the task is cancelled."""
        while True:
            due_at = perf_counter() + SWEEP_INTERVAL_SECONDS
            await asyncio.sleep(SWEEP_INTERVAL_SECONDS)
            if perf_counter() - due_at > LATE_SECONDS:
                await asyncio.sleep(PUT_OFF_SECONDS)
            for check in self._checks:
                self._call(check)

    async def stop(self, sweeping: "asyncio.Task[None]") -> None:
        """End the task of `run`."""
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping

    def _call(self, check: Check) -> None:
        try:
            check(perf_counter())
        except Exception:
            logger.exception("A time limit of serving could not be checked.")
