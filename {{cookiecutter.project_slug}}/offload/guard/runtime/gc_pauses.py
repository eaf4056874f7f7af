"""Times the garbage collections of this process: each stops every thread until it ends.

A collection begins at whatever line makes the next object. So its time is taken off the block that
the watchdog would report for that line.
"""

import gc
from collections import deque
from dataclasses import dataclass
from threading import get_ident
from time import monotonic, thread_time
from typing import Any

from offload.guard.runtime import metrics

# A collection of at least this length is reported. Half the time after which a callback is.
REPORTED_SECONDS = 0.05
# A shorter collection excuses no line, and is only counted.
KEPT_SECONDS = 0.005
# Collections that are kept until the next look of the watchdog, and for the block before it.
MAX_KEPT = 1000
GENERATIONS = 3


@dataclass(frozen=True)
class GcPause:
    """One garbage collection. Times are those of `time.monotonic()`, in seconds."""

    began: float
    ended: float
    # How long its thread waited for a processor meanwhile.
    waited: float
    # The identity of its thread, as `threading.get_ident()` gives it.
    thread: int
    generation: int
    # Objects that were freed.
    collected: int

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def __str__(self) -> str:
        return (
            f"garbage collection stopped the process for {self.seconds * 1000:.0f} ms "
            f"(generation {self.generation}, {self.collected} objects freed); no line is to blame"
        )


class GcPauses:
    """Listens to the garbage collector, from `start` to `stop`.

    Its callback runs wherever an object is made, also inside the library of the metrics. So it only
    adds to numbers of its own; `publish` gives them to the metrics later.
    """

    def __init__(self) -> None:
        self._kept: deque[GcPause] = deque(maxlen=MAX_KEPT)
        self._began = self._computed = 0.0
        self._counts = [0] * GENERATIONS
        self._seconds = [0.0] * GENERATIONS
        self._published = [(0, 0.0)] * GENERATIONS
        # When the last pause that `take` gave ended.
        self._taken_until = 0.0

    def start(self) -> None:
        """Listen from now on."""
        self._taken_until = monotonic()
        gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Listen no more. Nothing happens if it does not listen."""
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def since(self, began: float) -> list[GcPause]:
        """The kept collections that ended after a time of `time.monotonic()`."""
        # `tuple()` makes an object behind the iterator. A collection that this begins would add a
        # pause meanwhile, which is a RuntimeError.
        return [pause for pause in self._kept.copy() if pause.ended > began]

    def take(self) -> list[GcPause]:
        """The collections of at least `REPORTED_SECONDS` that are new since the last call."""
        new = [
            pause for pause in self.since(self._taken_until) if pause.seconds >= REPORTED_SECONDS
        ]
        if new:
            self._taken_until = new[-1].ended
        return new

    def publish(self) -> None:
        """Add what is new to the metrics."""
        for generation in range(GENERATIONS):
            count, seconds = self._counts[generation], self._seconds[generation]
            published_count, published_seconds = self._published[generation]
            if count > published_count:
                label = str(generation)
                metrics.GC_COLLECTIONS.labels(label).inc(count - published_count)
                metrics.GC_SECONDS.labels(label).inc(seconds - published_seconds)
                self._published[generation] = count, seconds

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        now, computed = monotonic(), thread_time()
        if phase == "start":
            self._began, self._computed = now, computed
            return
        generation, seconds = info["generation"], now - self._began
        self._counts[generation] += 1
        self._seconds[generation] += seconds
        if seconds >= KEPT_SECONDS:
            waited = max(seconds - (computed - self._computed), 0.0)
            freed = info["collected"]
            self._kept.append(GcPause(self._began, now, waited, get_ident(), generation, freed))
