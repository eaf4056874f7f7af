"""Runs the processes of a Procfile: honcho's manager, with an end that surely comes."""

import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from typing import Any

import honcho.manager
from honcho.printer import Printer
from honcho.process import Popen, Process

from offload_dev.launcher.parent_death import end_with_parent
from offload_dev.launcher.stop_timeouts import (
    KILLED_TIMEOUT_SECONDS,
    LAUNCHER_STOP_TIMEOUT_SECONDS,
)

# The shell's convention for the exit status of a process that a signal has killed.
KILLED_STATUS = 128 + signal.SIGKILL


class ManagedProcess(Process):  # type: ignore[misc]
    """One process, and one of honcho that reads its lines. Both end when the launcher is killed."""

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Start the process and pass its lines on until it ends."""
        # The reader ignores SIGTERM. Its own death is told to the process.
        end_with_parent(os.getppid(), signal.SIGKILL)
        self._child_ctor = partial(Popen, preexec_fn=partial(end_with_parent, os.getpid()))
        super().run(events, ignore_signals)


class ServiceManager(honcho.manager.Manager):  # type: ignore[misc]
    """Starts all processes, and stops all of them as soon as one ends.

    honcho waits for ever for a process that it cannot kill: one that a killed reloader has left
    holds the pipe of its lines. This one goes on without it, and says so.

    Args:
        printer: of the lines.
    """

    def __init__(self, printer: Printer) -> None:
        if sys.platform == "linux":
            # Python 3.14 forks in another process by default, which a killed launcher leaves.
            multiprocessing.set_start_method("fork", force=True)
        super().__init__(printer)
        self._process_ctor = ManagedProcess
        self._killed_at: float | None = None
        # honcho has no argument for it, and its 5 s are too short for a busy machine.
        honcho.manager.KILL_WAIT = LAUNCHER_STOP_TIMEOUT_SECONDS

    def kill(self) -> None:
        """Kill what did not stop in time. honcho calls this again until everything has ended."""
        now = time.monotonic()
        if self._killed_at is None:
            self._killed_at = now
            super().kill()
        elif now - self._killed_at > KILLED_TIMEOUT_SECONDS:
            self._go_on_without()

    def _any_stopped(self) -> bool:
        # honcho kills what does not obey only after another process has stopped.
        return bool(self._terminating or super()._any_stopped())

    def _go_on_without(self) -> None:
        """Wait no more for a process that it or its children keep from ending."""
        for name, process in self._processes.items():
            if process.get("returncode") is None:
                self._system_print(
                    f"{name} was killed, and a process that it has started still runs: "
                    f"end it yourself (`ps -e -o pid,pgid,args` lists it)\n"
                )
                process["process"].kill()
                process["returncode"] = self.returncode = KILLED_STATUS
