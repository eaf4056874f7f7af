"""The watchdog: a thread that notices when the event loop is blocked, and by which function."""

import asyncio
import faulthandler
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from offload.guard.runtime import stack_dump, stacks
from offload.guard.runtime.block_log import Block
from offload.guard.runtime.gc_pauses import GcPause, GcPauses
from offload.guard.runtime.gil_hold import CpuWait, GilHoldDetector

# Two samples show the same function: it did not return in between, and so blocks the loop.
SAMPLES_OF_A_BLOCK = 2
# faulthandler starts a thread for each timer, so the timer is set only once in this time.
HANG_TIMER_INTERVAL_SECONDS = 1.0
HANGS = "The event loop has been blocked for more than {:.1f} s.\n"

# The two kinds of blocks that are no fault of the code.
_THREAD_START, _IMPORT = threading.Thread.start.__code__, "importlib._bootstrap"


@dataclass
class _Suspect:
    """The functions that may be blocking the loop, by the samples so far."""

    # When the loop last ran freely, by monotonic().
    free_at: float
    # How long the loop's thread had waited for a processor until then, in seconds.
    waited_before: float
    # The frames that all samples show, outermost first.
    stack: list[stacks.Step] = field(default_factory=list)
    samples: int = 0

    @property
    def blocks_the_loop(self) -> bool:
        return self.samples >= SAMPLES_OF_A_BLOCK

    def add_gil_hold(self, stack: list[stacks.Step] | None) -> None:
        """A call that held the GIL needs no second sample."""
        if stack is not None and not self.blocks_the_loop:
            self.stack, self.samples = stack, SAMPLES_OF_A_BLOCK

    def add_sample(self, stack: list[stacks.Step]) -> bool:
        """Keep the frames that this sample shows, too; False if there are none."""
        shared = stacks.shared_frames(self.stack, stack)
        if not shared:
            return False
        self.stack, self.samples = shared, self.samples + 1
        return True


class Watchdog:
    """Watches the event loop that runs in the calling thread, from `start()` to `stop()`.

    One round: the thread pauses for half the threshold, puts a callback into the loop, and waits
    until the loop has run it. While it waits, it takes a sample of the loop's stack after each half
    of the threshold. A function that two samples in a row show has blocked the loop. The innermost
    one is reported. Time in which the machine ran other programs does not count (Linux,
    /proc/…/schedstat), so a busy machine raises no false alarm.

    Args:
        loop: asyncio's or uvloop's.
        threshold: seconds. A block of 1.5 times this length is always seen; a shorter one than this
            is never reported.
        report: called in the watchdog's thread, when the loop runs again.
        lag: called there after each round with the seconds until the loop ran the callback.
        report_pause: called there after each long garbage collection. No line is to blame for one.
        hang: seconds after which every thread's stack is written to stderr while the loop is
            still blocked. Where a call holds the GIL, no Python code can run, and faulthandler's
            timer writes them. A process has one such timer: give this to one watchdog only.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        threshold: float,
        report: Callable[[Block], None],
        lag: Callable[[float], None] | None = None,
        report_pause: Callable[[GcPause], None] | None = None,
        hang: float | None = None,
    ) -> None:
        self._loop, self._threshold, self._pause_seconds = loop, threshold, threshold / 2
        self._report, self._lag, self._hang = report, lag, hang
        self._gc_pauses, self._report_pause = GcPauses(), report_pause

        self._watched = threading.get_ident()
        self._cpu_wait = CpuWait(threading.get_native_id())
        self._gil_holds: GilHoldDetector
        self._hang_timer_set_at = self._dumped_at = 0.0

        self._thread = threading.Thread(target=self._run, name="offload-watchdog", daemon=True)
        self._running = threading.Event()
        self._stopped = threading.Event()
        self._ended = asyncio.Event()
        # Set while no block waits to be reported.
        self._reported = threading.Event()
        self._reported.set()

    def start(self) -> None:
        """Start the thread, and return when it watches."""
        self._gc_pauses.start()
        self._thread.start()
        # offload: allow OFF105: once a loop, for the microseconds that a thread takes to start
        self._running.wait()

    async def stop(self) -> None:
        """End the thread, and return when everything that it saw is reported."""
        self._stopped.set()
        if self._thread.ident is None:
            # It was never started, as when the start of the service fails.
            self._cpu_wait.close()
            return

        await self._ended.wait()
        if self._hang:
            faulthandler.cancel_dump_traceback_later()

    async def settle(self) -> None:
        """Return when a block that has just ended is reported."""
        if not self._reported.is_set():
            await asyncio.to_thread(self._reported.wait)

    def _run(self) -> None:
        """Do one round after the other until `stop()`."""
        self._gil_holds = GilHoldDetector(self._watched, shortest=self._pause_seconds)
        self._running.set()
        try:
            while self._watch_one_round():
                self._reported.set()
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            # The loop was closed without a stop().
            pass
        finally:
            self._gc_pauses.stop()
            self._cpu_wait.close()
            self._gil_holds.close()

    def _watch_one_round(self) -> bool:
        """Pause, wait until the loop runs a callback, and report what blocked it meanwhile.

        Returns:
            False if there is nothing left to watch: after `stop()`, or when the loop is closed.
        """
        suspect = _Suspect(self._gil_holds.looked_at, self._cpu_wait.seconds())
        suspect.add_gil_hold(self._pause(self._stopped))

        last_round = self._stopped.is_set()
        answered, asked_at = threading.Event(), monotonic()
        self._loop.call_soon_threadsafe(answered.set)

        # When the suspect was last seen in the loop.
        last_seen_at = asked_at
        while True:
            suspect.add_gil_hold(self._pause(answered))
            self._reset_hang_timer()
            sample = stacks.of_running_loop(self._watched)

            # Four cases:
            # 1. The loop has run the callback. The sample shows what came afterwards: drop it.
            if answered.is_set():
                break
            # 2. The loop is closed and will never run the callback.
            if self._loop.is_closed():
                return False

            self._reported.clear()
            self._dump_hang(asked_at)
            # 3. The sample shows functions of the samples before: they still block the loop.
            # 4. It shows none of them: they have ended, and the loop runs other functions before it
            #    came to the callback.
            if not suspect.add_sample(sample):
                suspect = self._next_suspect(suspect, last_seen_at, sample)
            last_seen_at = monotonic()

        self._finish_round(suspect, asked_at)
        return not last_round

    def _reset_hang_timer(self) -> None:
        """Let faulthandler write only while this thread cannot: it reads without the GIL.

        Frames that change meanwhile end the process with SIGSEGV (`stack_dump.py`).
        """
        if self._hang and monotonic() > self._hang_timer_set_at + HANG_TIMER_INTERVAL_SECONDS:
            self._hang_timer_set_at = monotonic()
            faulthandler.dump_traceback_later(self._hang + HANG_TIMER_INTERVAL_SECONDS)

    def _dump_hang(self, asked_at: float) -> None:
        """Write every thread's stack, once in a round, if the loop has not answered for so long."""
        if self._hang and self._dumped_at < asked_at and monotonic() > asked_at + self._hang:
            self._dumped_at = monotonic()
            stack_dump.write(HANGS.format(self._hang) + stack_dump.describe_threads())

    def _next_suspect(self, earlier: _Suspect, ended: float, sample: list[stacks.Step]) -> _Suspect:
        """Suspect the functions of this sample, and report the earlier ones if they blocked."""
        free_at, waited_before = earlier.free_at, earlier.waited_before
        if earlier.blocks_the_loop:
            self._report_block(earlier, ended)
            free_at, waited_before = monotonic() - self._pause_seconds, self._cpu_wait.seconds()
        return _Suspect(free_at, waited_before, sample, samples=1)

    def _finish_round(self, suspect: _Suspect, asked_at: float) -> None:
        """The loop runs again: note how late it was, and report what blocked it until now."""
        ended = monotonic()
        if self._lag:
            self._lag(ended - asked_at)
        if suspect.blocks_the_loop:
            self._report_block(suspect, ended)
        for pause in self._gc_pauses.take():
            if self._report_pause:
                self._report_pause(pause)
        self._gc_pauses.publish()

    def _pause(self, event: threading.Event) -> list[stacks.Step] | None:
        """Pause until the event is set, at most for half the threshold.

        Returns:
            None; or the loop's stack, if its thread held the GIL before or during the pause.
        """
        before = self._gil_holds.look(paused=0.0)
        if before is not None:
            self._reported.clear()

        event.wait(self._pause_seconds)

        during = self._gil_holds.look(paused=self._pause_seconds)
        if during is not None:
            self._reported.clear()
        return before if during is None else during

    def _report_block(self, suspect: _Suspect, ended: float) -> None:
        """Report a block, unless it was shorter than the threshold.

        It may have begun at any moment of the pause after `free_at`, so half the threshold is taken
        off. Time in which the machine ran other programs is taken off, too, and that of garbage
        collections.
        """
        waited = self._cpu_wait.seconds() - suspect.waited_before
        for pause in self._gc_pauses.since(suspect.free_at):
            # A collection in the loop's own thread may have waited for a processor, too.
            own_wait = pause.waited if pause.thread == self._watched else 0.0
            waited += pause.seconds - own_wait
        seconds = ended - suspect.free_at - self._pause_seconds - waited
        if seconds < self._threshold:
            return

        stack = suspect.stack
        place = stacks.responsible_step(stack)
        excused = any(
            step.code is _THREAD_START or _IMPORT in step.code.co_filename for step in stack
        )
        block = Block(
            place=str(place or "a call that held the GIL, and has passed,"),
            request=stacks.request_label(stacks.find_request(stack)),
            seconds=seconds,
            ended=ended,
            excused=excused,
            stack=tuple(map(str, stacks.of_interest(stack))),
        )
        self._report(block)
