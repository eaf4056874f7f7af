"""A thread that asks the event loop, many times a second, whether it is still there; and who keeps it, if not."""

import asyncio
import faulthandler
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from offload.guard.running import stacks

_THREAD_START, _IMPORT = threading.Thread.start.__code__, "importlib._bootstrap"


@dataclass(frozen=True)
class Block:
    """The loop did not answer: the line that kept it, for which request, and for how many seconds."""

    place: str
    request: str
    seconds: float
    ended: float  # of time.monotonic()
    excused: bool  # a first import, which blocks once; or a thread's start, which waits for the machine alone
    stack: tuple[str, ...]

    def __str__(self) -> str:
        during = f" during {self.request}" if self.request else ""
        return f"{self.place} blocked the event loop for {self.seconds * 1000:.0f} ms{during}"


class Watchdog:
    """Watches the loop that runs in the calling thread, from `start()` to `stop()`.

    The thread asks, and takes a first sample of the loop's stack when half the threshold has passed, a second at the
    threshold, and so on. It accuses the innermost of the functions that two in a row show. Time in which the machine
    ran something else does not count (Linux, /proc/…/schedstat), so a busy machine raises no false alarm.

    Args:
        loop: asyncio's or uvloop's.
        threshold: seconds; a block 1.5 times as long is always seen, a shorter one than this never reported.
        report: called in the watchdog's thread, when the loop answers again.
        lag: called there with the seconds of every answer.
        hang: seconds after which faulthandler writes every thread's stack to stderr, even if a call holds the GIL, when
            no Python can run. It has one timer a process: for one watchdog.
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
        self._loop, self._threshold, self._report, self._lag, self._hang = loop, threshold, report, lag, hang
        self._watched = threading.get_ident()
        self._watched_time = _ThreadTime(threading.get_native_id())
        self._stopped = threading.Event()
        self._reported, self._ended = threading.Event(), asyncio.Event()
        self._reported.set()
        self._ready = threading.Event()
        self._armed = 0.0
        self._thread = threading.Thread(target=self._run, name="offload-watchdog", daemon=True)

    def start(self) -> None:
        self._well = monotonic(), self._watched_time.read(), _Time(0.0, 0.0)  # the loop's last answer
        self._thread.start()
        self._ready.wait()  # offload: allow OFF105: once a loop, for the microseconds that a thread takes to start

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
        self._own_time = _ThreadTime(threading.get_native_id())
        self._ready.set()
        try:
            while self._look():
                self._rearm()
                self._reported.set()
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            pass  # the loop was closed without a stop()
        finally:
            self._watched_time.close()
            self._own_time.close()

    def _rearm(self) -> None:
        if self._hang and monotonic() > self._armed + 1:  # once a second: each time starts a thread
            self._armed = monotonic()
            faulthandler.dump_traceback_later(self._hang + 1)

    def _look(self) -> bool:
        pause = self._threshold / 2
        well, before, own = self._well
        stopped = self._stopped.wait(pause)
        kept: list[stacks.Step] = []
        seen = 0
        overslept = monotonic() - well - pause
        if overslept > pause:
            self._reported.clear()
            steps = stacks.running(self._watched)  # before anything that would let the loop's thread go on
            overslept -= self._own_time.read().queued - own.queued
            if overslept > pause and self._watched_time.read().running - before.running > pause:
                kept, seen = steps, 2  # it held the GIL, in a call into C, and has only just let go
        answered = threading.Event()
        asked = monotonic()
        self._loop.call_soon_threadsafe(answered.set)
        while not answered.wait(pause):
            if self._loop.is_closed():
                return False
            self._reported.clear()
            steps = stacks.running(self._watched)
            if answered.is_set():
                break  # the sample shows what came afterwards
            if shared := stacks.common(kept, steps):
                kept, seen = shared, seen + 1
            elif seen < 2:
                kept, seen = steps, 1
        ended = monotonic()
        if self._lag:
            self._lag(ended - asked)
        if seen >= 2:
            queued = self._watched_time.read().queued - before.queued
            self._accuse(kept, ended - asked + max(overslept, 0) - queued, ended)
        self._well = ended, self._watched_time.read(), self._own_time.read()
        return not stopped

    def _accuse(self, kept: list[stacks.Step], seconds: float, ended: float) -> None:
        place = stacks.place(kept)
        if place is None or seconds < self._threshold:
            return
        self._report(
            Block(
                place=str(place),
                request=stacks.label(stacks.request(kept)),
                seconds=seconds,
                ended=ended,
                excused=any(step.code is _THREAD_START or _IMPORT in step.code.co_filename for step in kept),
                stack=tuple(map(str, kept)),
            )
        )


class _Time(NamedTuple):
    """Of one thread, in seconds: on a processor, and ready for one while the machine ran others."""

    running: float
    queued: float


class _ThreadTime:
    """Reads a thread's times from the kernel (sched-stats.rst in its documentation); zeros where it does not tell."""

    def __init__(self, native_id: int) -> None:
        self._file = -1
        with suppress(OSError):
            self._file = os.open(f"/proc/self/task/{native_id}/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> _Time:
        if self._file < 0:
            return _Time(0.0, 0.0)
        running, queued, _ = os.pread(self._file, 80, 0).split()
        return _Time(int(running) / 1e9, int(queued) / 1e9)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
