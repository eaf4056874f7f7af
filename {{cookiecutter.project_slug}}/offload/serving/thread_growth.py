"""Decides when the pool of request threads grows."""

import sys
import time
from typing import NamedTuple

# A request that has waited this long for a thread is reason enough to start one, unless the process
# is busy. A thread starts in 0.1 ms and a query takes 1 ms or more, so a shorter wait says nothing.
GROWTH_DELAY_SECONDS = 0.01
# A process that used this share of a core since the last look is busy: Python runs on one core at a
# time, and the rest is for the event loop. More threads would only contend for the core. Below it
# the threads wait for something, and eight of them answer less than Django's own handler would.
BUSY_SHARE = 0.5
# A look that comes so much too late says that the process does not get its core: other processes or
# its own threads have it.
LATE_LOOK_SECONDS = 0.005
# A busy process starts threads, too, if none has come back for this time: those that are lent hang.
BUSY_GROWTH_DELAY_SECONDS = 0.25


class Look(NamedTuple):
    """What the pool looked like at one moment."""

    # The time (`time.monotonic`), and the CPU time of the process.
    at: float = 0.0
    cpu: float = 0.0
    # How many requests waited, and how many threads had come back since the start.
    waiting: int = 0
    returned: int = 0


class ThreadGrowth:
    """Compares what the pool looks like with its last look.

    A pool looks every `GROWTH_DELAY_SECONDS` while requests wait.
    """

    def __init__(self) -> None:
        self._last = Look()

    def begin(self, returned: int) -> None:
        """A request waits, and none did before.

        The first look only observes: most bursts end before the second.
        """
        self._last = self._look(sys.maxsize, returned)

    def helps(self, *, waiting: int, lent: int, returned: int, hangs_since: float) -> bool:
        """Whether more threads would answer more requests.

        Five cases: 1. no thread comes back: yes; 2. the process is busy, or does not get its core:
        no; 3. half of the threads came back since the last look: no, each has a request for a few
        milliseconds; 4. fewer requests wait than at the last look: no, the burst is ending by
        itself; 5. the threads wait for something: yes.

        Args:
            waiting: how many requests wait for a thread.
            lent: how many threads are in use.
            returned: how many came back since the start of the process.
            hangs_since: since when requests wait and no thread came back (`time.monotonic`).
        """
        last, look = self._last, self._look(waiting, returned)
        self._last = look
        if look.at - hangs_since > BUSY_GROWTH_DELAY_SECONDS:
            return True

        seconds = look.at - last.at
        is_busy = look.cpu - last.cpu > BUSY_SHARE * seconds
        is_late = seconds > GROWTH_DELAY_SECONDS + LATE_LOOK_SECONDS
        is_quick = look.returned - last.returned > lent // 2
        is_ending = look.waiting < last.waiting
        return not (is_busy or is_late or is_quick or is_ending)

    def _look(self, waiting: int, returned: int) -> Look:
        return Look(time.monotonic(), time.process_time(), waiting, returned)
