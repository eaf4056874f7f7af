"""Runs a command, and restarts it: `python -m offload_dev.launcher.reloader [--folder F] COMMAND…`.

The command restarts when the code changes, and when it has died. A command that dies at its start
would die again: it restarts at the next change.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType

from watchfiles import Change, DefaultFilter, watch

from offload_dev.launcher.parent_death import end_with_parent
from offload_dev.launcher.stop_timeouts import PROCESS_STOP_TIMEOUT_SECONDS

# A command that fails sooner has failed at its start, by a mistake in the code. A worker fails
# after 3 s; on a machine whose cores were busy, where a worker gives way, after 37 s.
START_SECONDS = 120.0
# The reloader looks so often whether the command still runs, and whether the changes have ended.
POLL_INTERVAL_MS = 250
# It restarts the command when no code has changed for so long. `git checkout` and an update of the
# standard write their files one by one, and the command can't start with half of them.
QUIET_SECONDS = 0.5
# A message names at most this many of the changed files.
MAX_FILES_NAMED = 3
# The shell's convention for the exit status of a process that a signal has killed.
KILLED_STATUS = 128 + signal.SIGKILL

# The tests start what they need by themselves, and the sandbox is a process of its own.
IGNORED_FOLDERS = ("tests", "sandbox")
# Django looks for these folders in each app once, at start.
APP_FOLDERS = ("/templates", "/static")


class RestartFilter(DefaultFilter):
    """Says which changes of files need a restart.

    1. Python code.
    2. A new or deleted folder of templates or static files. The files in them need no restart:
       under DEBUG, Django and ServeStatic read them again for each request.
    """

    def __call__(self, change: Change, path: str) -> bool:
        if not super().__call__(change, path):
            return False
        if path.endswith(".py"):
            return True
        return change is not Change.modified and path.endswith(APP_FOLDERS)


class Reloader:
    """Runs one command, and restarts it.

    Args:
        command: the program and its arguments.
        folder: the folder whose changes restart it; the whole project without those of
            IGNORED_FOLDERS if there is none.
    """

    def __init__(self, command: list[str], folder: str | None = None) -> None:
        self._command = command
        # Where it was, if someone deletes it.
        self._directory = Path.cwd()
        # This path and the ignored ones are absolute, because watchfiles compares their text.
        self._folder = Path(folder or ".").absolute()
        ignored = () if folder else tuple(Path(name).absolute() for name in IGNORED_FOLDERS)
        self._filter = RestartFilter(ignore_paths=ignored)

        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes]
        self._started_at = 0.0
        # The command has failed at its start. It is started again at the next change.
        self._failed_at_start = False
        # The code that has changed since the last start, and when it last did.
        self._changed: set[str] = set()
        self._changed_at = 0.0

    def run(self) -> int:
        """Run the command until SIGTERM or SIGINT.

        Returns:
            its last exit status; 0 if it ended when it was told to.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

        self._start()
        # All changes come here and are filtered here. A filter of `watch` would keep it from
        # yielding while a database in the folder is written, and the command would be looked at no
        # more.
        try:
            for changes in watch(
                self._folder,
                watch_filter=None,
                stop_event=self._stopping,
                raise_interrupt=False,
                rust_timeout=POLL_INTERVAL_MS,
                yield_on_timeout=True,
            ):
                self._look({path for change, path in changes if self._filter(change, path)})
        finally:
            status = self._end()
        return status

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _look(self, code: set[str]) -> None:
        """Restart the command if it has died, or if its code has changed and changes no more."""
        if code:
            self._changed |= code
            self._changed_at = time.monotonic()
        elif self._changed:
            if time.monotonic() - self._changed_at >= QUIET_SECONDS:
                self._restart(f"{self._name_changed()} changed")
        elif not self._failed_at_start:
            self._check_process()

    def _start(self) -> None:
        # In a session of its own the process gets no signal that is sent to this one's group, but
        # one signal from this process, also if this one is killed.
        end = partial(end_with_parent, os.getpid())
        self._process = subprocess.Popen(self._command, start_new_session=True, preexec_fn=end)
        self._started_at = time.monotonic()
        self._failed_at_start = False
        self._changed.clear()

    def _restart(self, why: str) -> None:
        _say(f"{why}: restarting")
        self._end()
        self._start()

    def _check_process(self) -> None:
        """Restart a process that has died, unless it failed at its start."""
        status = self._process.poll()
        if status is None:
            return

        running_for = time.monotonic() - self._started_at
        self._failed_at_start = status > 0 and running_for < START_SECONDS
        if self._failed_at_start:
            _say(f"ended with status {status} at its start: correct the code, then it restarts")
        else:
            self._restart(f"ended with status {status}")

    def _end(self) -> int:
        """Stop the process and its children; returns its exit status, or 0 if it obeyed."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PROCESS_STOP_TIMEOUT_SECONDS)

        killed = self._process.poll() is None
        if killed:
            _say(f"did not stop within {PROCESS_STOP_TIMEOUT_SECONDS:.0f} s: killing it")
        with contextlib.suppress(ProcessLookupError):
            # The children, too, which may live longer than the process itself.
            os.killpg(self._process.pid, signal.SIGKILL)

        status = self._process.wait()
        if killed:
            return KILLED_STATUS
        return 0 if status == -signal.SIGTERM else status

    def _name_changed(self) -> str:
        names = sorted(os.path.relpath(path, self._directory) for path in self._changed)
        more = " and more" if len(names) > MAX_FILES_NAMED else ""
        return ", ".join(names[:MAX_FILES_NAMED]) + more


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m offload_dev.launcher.reloader")
    parser.add_argument("--folder", help="only changes in this folder restart the command")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    return Reloader(arguments.command, arguments.folder).run()


if __name__ == "__main__":
    sys.exit(main())
