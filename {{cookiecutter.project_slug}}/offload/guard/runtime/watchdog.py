"""A thread that asks the event loop, many times a second, whether it is still there; and who keeps
it, if not.
"""

import asyncio
import faulthandler
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from offload.guard.runtime import stacks

_THREAD_START, _IMPORT = threading.Thread.start.__code__, "importlib._bootstrap"


@dataclass(frozen=True)
class Block:
    """The loop did not answer: the line that kept it, for which request, and for how many seconds."""

    place: str
    request: str
    seconds: float
    # Of time.monotonic().
    ended: float
    # A first import, which blocks once; or a thread's start, which waits for the machine alone.
    excused: bool
    stack: tuple[str, ...]

    def __str__(self) -> str:
        during = f" during {self.request}" if self.request else ""
        return f"{self.place} blocked the event loop for {self.seconds * 1000:.0f} ms{during}"


class Watchdog:
    """Watches the loop that runs in the calling thread, from `start()` to `stop()`.

    The thread asks, and takes a first sample of the loop's stack when half the threshold has
    passed, a second at the threshold, and so on. It accuses the innermost of the functions that two
    in a row show. Time in which the machine ran something else does not count (Linux,
    /proc/…/schedstat), so a busy machine raises no false alarm.

    Args:
        loop: asyncio's or uvloop's.
        threshold: seconds; a block 1.5 times as long is always seen, a shorter one than this never
            reported.
        report: called in the watchdog's thread, when the loop answers again.
        lag: called there with the seconds of every answer.
        hang: seconds after which faulthandler writes every thread's stack to stderr, even if a call
            holds the GIL, when no Python can run. It has one timer a process: for one watchdog.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        threshold: float,
        report: Callable[[Block], None],
        lag: Callable[[float], None] | None = None,
        hang: float | None = None,
    ) -> None:
        self._loop, self._threshold, self._report, self._lag, self._hang = (
            loop,
            threshold,
            report,
            lag,
            hang,
        )
        self._watched = threading.get_ident()
        self._queue = _Queue(threading.get_native_id())
        self._clock = (
            time.pthread_getcpuclockid(self._watched)
            if hasattr(time, "pthread_getcpuclockid")
            else None
        )
        self._stopped = threading.Event()
        self._reported, self._ended = threading.Event(), asyncio.Event()
        self._reported.set()
        self._ready = threading.Event()
        self._pause, self._armed = threshold / 2, 0.0
        self._thread = threading.Thread(target=self._run, name="offload-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()
        # offload: allow OFF105: once a loop, for the microseconds that a thread takes to start
        self._ready.wait()

    async def stop(self) -> None:
        """Returns when what was seen is reported and the thread has ended."""
        self._stopped.set()
        await self._ended.wait()
        if self._hang:
            faulthandler.cancel_dump_traceback_later()

    async def settle(self) -> None:
        """Returns when a block that has just ended is reported."""
        if not self._reported.is_set():
            await asyncio.to_thread(self._reported.wait)

    def _run(self) -> None:
        self._own_queue = _Queue(threading.get_native_id())
        self._last = monotonic(), self._computed(), self._own_queue.seconds()
        self._ready.set()
        try:
            while self._look():
                self._rearm()
                self._reported.set()
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            # The loop was closed without a stop().
            pass
        finally:
            self._queue.close()
            self._own_queue.close()

    def _rearm(self) -> None:
        # Once a second: each time starts a thread.
        if self._hang and monotonic() > self._armed + 1:
            self._armed = monotonic()
            faulthandler.dump_traceback_later(self._hang + 1)

    def _look(self) -> bool:
        """Pause, ask, wait for the answer, and report who was in its way. False when nothing is
        left to do.
        """
        well, queued = self._last[0], self._queue.seconds()
        held = self._wait(self._stopped)
        kept, seen = held or [], 0 if held is None else 2
        stopped, answered, asked = self._stopped.is_set(), threading.Event(), monotonic()
        # When `kept` was last known to hold the loop.
        latest = asked
        self._loop.call_soon_threadsafe(answered.set)
        while True:
            held = self._wait(answered)
            if held is not None and seen < 2:
                kept, seen = held, 2
            steps = stacks.running(self._watched)
            if answered.is_set():
                # What the sample shows came afterwards.
                break
            if self._loop.is_closed():
                return False
            self._reported.clear()
            if shared := stacks.common(kept, steps):
                kept, seen = shared, seen + 1
            else:
                # That one is over, and the loop stands still in another before it came to our
                # question.
                if seen >= 2:
                    self._accuse(
                        kept, latest - well - self._pause - (self._queue.seconds() - queued), latest
                    )
                    well, queued = monotonic() - self._pause, self._queue.seconds()
                kept, seen = steps, 1
            latest = monotonic()
        ended = monotonic()
        if self._lag:
            self._lag(ended - asked)
        if seen >= 2:
            self._accuse(kept, ended - well - self._pause - (self._queue.seconds() - queued), ended)
        return not stopped

    def _wait(self, event: threading.Event) -> list[stacks.Step] | None:
        """Pause; if the loop's thread held the GIL meanwhile, the stack with which it did."""
        before = self._held(0.0)
        event.wait(self._pause)
        after = self._held(self._pause)
        return before if after is None else after

    def _held(self, paused: float) -> list[stacks.Step] | None:
        """The loop's stack, if its thread has held the GIL since this was last asked; empty if it
        has gone on since.

        A call into C that holds the GIL stops this thread, too. It shows afterwards: this thread
        comes late though the machine had time for it, and the loop's thread was computing. The
        stack is taken before anything that lets go of the GIL, and so still shows the call, unless
        the machine put this thread aside in that very moment.
        """
        now, computed = monotonic(), self._computed()
        last, computed_then, queued_then = self._last
        late = now - last - paused
        steps = stacks.running(self._watched) if late > self._pause else []
        queued = self._own_queue.seconds()
        self._last = now, computed, queued
        if min(late - (queued - queued_then), computed - computed_then) < self._pause:
            return None
        self._reported.clear()
        return steps

    def _computed(self) -> float:
        """Seconds that the loop's thread has spent computing; always 0 where the system keeps no
        such clock.
        """
        return time.clock_gettime(self._clock) if self._clock is not None else 0.0

    def _accuse(self, kept: list[stacks.Step], seconds: float, ended: float) -> None:
        if seconds < self._threshold:
            return
        self._report(
            Block(
                place=str(stacks.place(kept) or "a call that held the GIL, and has passed,"),
                request=stacks.label(stacks.request(kept)),
                seconds=seconds,
                ended=ended,
                excused=any(
                    step.code is _THREAD_START or _IMPORT in step.code.co_filename for step in kept
                ),
                stack=tuple(map(str, kept)),
            )
        )


class _Queue:
    """How long a thread was ready to run while the machine ran others (Linux: schedstat); always 0
    elsewhere.
    """

    def __init__(self, native_id: int) -> None:
        self._file = -1
        with suppress(OSError):
            self._file = os.open(
                f"/proc/self/task/{native_id}/schedstat", os.O_RDONLY | os.O_CLOEXEC
            )

    def seconds(self) -> float:
        return int(os.pread(self._file, 80, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
