"""Runs the processes of a Procfile: honcho's manager, with an end that surely comes."""

import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from typing import Any

import honcho.manager
from honcho.process import Popen, Process

from offload_dev.launcher.output import KEPT_LINES, ProcessPrinter
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
        # Ctrl-C is sent to all of the terminal's processes. honcho lets this one ignore it when the
        # process runs; the launcher's handlers, which it has until then, would stop the service
        # from here. The process does not inherit a handler.
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: None)
        # The reader ignores SIGTERM. Its own death is told to the process.
        launcher = multiprocessing.parent_process()
        end_with_parent((launcher and launcher.pid) or os.getppid(), signal.SIGKILL)
        self._child_ctor = partial(Popen, preexec_fn=partial(end_with_parent, os.getpid()))
        super().run(events, ignore_signals)


class ServiceManager(honcho.manager.Manager):  # type: ignore[misc]
    """Starts all processes, and stops all of them as soon as one ends; says at the end which one.

    The others fail then by what they have lost. Their tracebacks are in the file of kept lines.

    Three cases in which honcho would wait for ever or fail:

    1. A process cannot be killed: one that a killed reloader has left holds the pipe of its lines.
       This manager goes on without it, and says so.
    2. The reader of a process was killed, or it could not start the process.
    3. It is stopped while it starts its processes.

    Args:
        printer: of the lines.
    """

    def __init__(self, printer: ProcessPrinter) -> None:
        if sys.platform == "linux":
            # Python 3.14 forks in another process by default, which a killed launcher leaves.
            multiprocessing.set_start_method("fork", force=True)
        super().__init__(printer)
        self._process_ctor = ManagedProcess
        self._killed_at: float | None = None
        # It was told to stop, or a process has stopped.
        self._is_stopping = False
        # The process that has ended by itself, and so all others.
        self._ended_first: str | None = None
        # honcho has no argument for it, and its 5 s are too short for a busy machine.
        honcho.manager.KILL_WAIT = LAUNCHER_STOP_TIMEOUT_SECONDS

    def loop(self) -> None:
        """Run all processes until the first one ends or the launcher is stopped."""
        super().loop()
        if self._ended_first:
            status = self._processes[self._ended_first]["returncode"]
            self._system_print(
                f"The service has stopped, because {self._ended_first} {describe_end(status)}."
                f" {KEPT_LINES} has all lines, also tracebacks that followed.\n"
            )

    def kill(self) -> None:
        """Kill what did not stop in time. honcho calls this again until everything has ended."""
        now = time.monotonic()
        if self._killed_at is None:
            self._killed_at = now
            super().kill()
        elif now - self._killed_at > KILLED_TIMEOUT_SECONDS:
            self._go_on_without()

    def terminate(self) -> None:
        """Let the loop stop all processes. A signal's handler calls this, at any time."""
        self._is_stopping = True

    def _all_started(self) -> bool:
        # honcho's loop asks this in each turn.
        self._note_lost_readers()
        self._note_first_end()
        if not super()._all_started():
            return False
        if self._is_stopping:
            super().terminate()
        return True

    def _note_lost_readers(self) -> None:
        """Count a process as stopped if its reader has failed: nobody else tells of its end."""
        for name, process in self._processes.items():
            status = process["process"].exitcode
            if not status or process.get("returncode") is not None:
                continue
            self._system_print(f"{name}: the reader of its lines ended with status {status}\n")
            if "pid" in process:
                self._procmgr.terminate(process["pid"])
            process.setdefault("pid", process["process"].pid)
            process["returncode"] = self.returncode = KILLED_STATUS

    def _note_first_end(self) -> None:
        """Remember which process has ended without being told to."""
        ended = [name for name, each in self._processes.items() if "returncode" in each]
        if ended and not self._is_stopping:
            self._ended_first = ended[0]
            self._is_stopping = True
            self._printer.keep_tracebacks()

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


def describe_end(status: int) -> str:
    """How a process has ended, by its exit status: `ended with status 3`, `was killed (SIGKILL)`.

    Args:
        status: negative or above 128 if a signal has ended the process.
    """
    number = -status if status < 0 else status - 128
    if number in set(signal.Signals):
        return f"was killed ({signal.Signals(number).name})"
    return f"ended with status {status}"
