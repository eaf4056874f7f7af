"""Notices that a thread held the GIL, which stops every other thread, or waited for a processor."""

import os
import threading
import time
from contextlib import suppress
from time import monotonic

from offload.guard.runtime import stacks


class CpuWait:
    """Reads how long one thread was ready to run while the machine ran others.

    Linux keeps this figure (/proc/…/schedstat, second column, nanoseconds). On other systems it is
    always 0.

    Args:
        native_id: the system's number of a thread of this process.
    """

    def __init__(self, native_id: int) -> None:
        self._file = -1
        path = f"/proc/self/task/{native_id}/schedstat"
        with suppress(OSError):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def seconds(self) -> float:
        """Seconds of waiting since the thread started."""
        if self._file < 0:
            return 0.0
        return int(os.pread(self._file, 80, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


class GilHoldDetector:
    """Tells after each pause of its own thread whether the watched thread held the GIL meanwhile.

    A call into C that holds the GIL stops this thread, too. It shows afterwards, by two signs:

    1. This thread continues late, although the machine had time for it.
    2. The watched thread was computing during that time.

    Made and used in one thread only, the one that pauses.

    Args:
        watched: the identity of the watched thread, as `threading.get_ident()` gives it.
        shortest: seconds; a shorter hold is not noticed.
    """

    def __init__(self, watched: int, shortest: float) -> None:
        self._watched, self._shortest = watched, shortest
        self._cpu_clock = (
            time.pthread_getcpuclockid(watched) if hasattr(time, "pthread_getcpuclockid") else None
        )
        self._own_cpu_wait = CpuWait(threading.get_native_id())

        # The readings of the last look. `looked_at` is a time of monotonic().
        self.looked_at = monotonic()
        self._computed = self._computed_seconds()
        self._waited = self._own_cpu_wait.seconds()

    def look(self, paused: float) -> list[stacks.Step] | None:
        """Compare with the last look.

        The stack is taken before anything that lets go of the GIL. So it still shows the call,
        unless the machine stopped this thread in that very moment.

        Args:
            paused: seconds that this thread meant to pause since the last look.

        Returns:
            None if the watched thread did not hold the GIL. Else its stack, which is empty if the
            thread has left the call.
        """
        now, computed = monotonic(), self._computed_seconds()
        late = now - self.looked_at - paused
        steps = stacks.of_running_loop(self._watched) if late > self._shortest else []
        waited = self._own_cpu_wait.seconds()

        late_by_others = late - (waited - self._waited)
        watched_computed = computed - self._computed
        self.looked_at, self._computed, self._waited = now, computed, waited
        return steps if min(late_by_others, watched_computed) >= self._shortest else None

    def close(self) -> None:
        self._own_cpu_wait.close()

    def _computed_seconds(self) -> float:
        """CPU seconds of the watched thread; always 0 where the system has no such clock."""
        return time.clock_gettime(self._cpu_clock) if self._cpu_clock is not None else 0.0
