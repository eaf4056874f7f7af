"""The relay: a thread that publishes the messages of queued rows.

Every web process and every worker's main process has one. No other thread publishes. A dead, silent
or slow broker therefore costs a submit nothing.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from django.db import connections, transaction

from offload.jobs.broker import Broker, JobMessage
from offload.jobs.models import Job

# Seconds between two runs of the maintenance. The message for a new row does not wait for them.
MAINTENANCE_INTERVAL_SECONDS = 1.0
# Seconds that `stop` waits for the thread.
RELAY_STOP_TIMEOUT_SECONDS = 5.0


class Relay(threading.Thread):
    """A thread that publishes. `notify` it of new rows; `stop` it at the end.

    Args:
        broker: this thread's connection to the broker.
        maintenance: called once a second, in this thread.
    """

    def __init__(self, broker: Broker, maintenance: Callable[[], None]) -> None:
        super().__init__(name="offload-relay", daemon=True)
        self._broker = broker
        self._maintenance = maintenance
        self._stopping = False
        # A pipe, because a worker's forked children notify the relay, too: of the parts of a job,
        # and of a divided job that is due again.
        self._reading_end, self._writing_end = os.pipe()
        os.set_blocking(self._writing_end, False)

    def notify(self, jobs: Iterable[Job]) -> None:
        """Have messages published for new rows, from any thread or forked process.

        It never blocks. A pipe holds some 500 rows; for the others the maintenance publishes within
        a second.
        """
        with contextlib.suppress(BlockingIOError):
            for job in jobs:
                # One write for each line, below PIPE_BUF (4096 bytes): the lines of two processes
                # never mix (man 7 pipe).
                os.write(self._writing_end, ("\t".join(JobMessage.of(job)) + "\n").encode())

    def notify_after_commit(self, jobs: list[Job]) -> None:
        """Notify once the surrounding transaction is committed; at once where there is none."""
        transaction.on_commit(partial(self.notify, jobs))

    def stop(self) -> None:
        """End the thread and wait for it, 5 seconds at most."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._writing_end, b"\n")

        self.join(RELAY_STOP_TIMEOUT_SECONDS)
        if not self.is_alive():
            os.close(self._reading_end)
            os.close(self._writing_end)

    def run(self) -> None:
        """Publish what comes through the pipe, and run the maintenance once a second."""
        next_maintenance, pending = time.monotonic(), b""

        while not self._stopping:
            wait = max(next_maintenance - time.monotonic(), 0.0)
            if select.select([self._reading_end], [], [], wait)[0]:
                *lines, pending = (pending + os.read(self._reading_end, 65536)).split(b"\n")
                self._broker.publish(
                    JobMessage(*line.decode().split("\t")) for line in lines if line
                )
            if time.monotonic() >= next_maintenance:
                self._maintenance()
                next_maintenance = time.monotonic() + MAINTENANCE_INTERVAL_SECONDS

        self._broker.close()
        connections.close_all()
