"""The one publisher: a thread in every web process and every worker's main process that rings for
queued rows.

It alone talks to the broker, so a dead, silent or slow broker costs a submit nothing. One relay at
a time, by a lease in the database, also sweeps (`sweep.py`); all of them keep the figures that
admission and health checks read.
"""

import contextlib
import logging
import os
import select
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from celery import current_app
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import Count, Min
from django.db.models.functions import Now
from prometheus_client import Gauge

from offload.jobs import sweep, transitions
from offload.jobs.models import FINAL, Job, Worker

log = logging.getLogger("offload.jobs")

# Seconds between looks at the rows; a ring for a new row does not wait for it.
INTERVAL = 1.0

# The producer's profile. kombu's defaults wait for ever on a silent broker and 134 s on one that
# drops packets (measured, Celery 5.7); this thread may wait a little, never long. No retry: the
# sweeper is the retry.
BROKER_LIMITS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "max_retries": 0}

WAITING = Gauge("offload_jobs_waiting", "Jobs that are due and not begun", ["queue"])
OLDEST = Gauge("offload_jobs_oldest_seconds", "Age of the oldest of them", ["queue"])
WORKERS = Gauge("offload_jobs_workers", "Workers heard from lately")

# A child forked while another thread is inside the database library would inherit its locks, held
# for ever. Threads of a worker's main process touch the database only under this lock, and forks
# wait for it.
FORK_LOCK = threading.RLock()
os.register_at_fork(
    before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release
)


@dataclass
class QueueFigures:
    """One queue as its relay saw it last: due rows, age of the oldest (seconds), jobs ended per
    second.
    """

    depth: int = 0
    age: float = 0.0
    drain: float = 0.0


@dataclass
class Figures:
    """What one relay knows without asking anybody: read by admission and by the health checks."""

    queues: dict[str, QueueFigures] = field(default_factory=dict)
    # Heard from within `worker_silence`.
    workers: int = 0
    database: bool = False
    broker: bool = False


class Relay(threading.Thread):
    """Start it, `ring()` for new rows from any thread or loop, or from a process forked off this
    one; `stop()` it.
    """

    def __init__(self) -> None:
        super().__init__(name="offload-relay", daemon=True)
        self.id = uuid.uuid4()
        self.figures = Figures()
        # A pipe, since a worker's children ring, too: for the parts of a job, and for a parent to
        # be put together.
        self._rings, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self._stopping = False
        self._broker = Broker()
        self._sweeper = sweep.Sweeper(self.id)

    def ring(self, jobs: Iterable[Job]) -> None:
        """Have the broker told of new rows, soon. Never blocks; what does not fit (some 500) waits
        for the sweeper.
        """
        with contextlib.suppress(BlockingIOError):
            for job in jobs:
                # One write each, below PIPE_BUF (4096): the lines of two processes never mix (man 7
                # pipe).
                os.write(self._bell, f"{job.kind}\t{job.queue}\t{job.pk}\n".encode())

    def stop(self) -> None:
        """End the thread and wait for it, 5 seconds at most."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell, b"\n")
        self.join(5.0)
        if not self.is_alive():
            os.close(self._rings)
            os.close(self._bell)

    def run(self) -> None:
        """Ring for new rows at once, look at all rows every second."""
        look_at, pending = time.monotonic(), b""
        while not self._stopping:
            if select.select([self._rings], [], [], max(look_at - time.monotonic(), 0.0))[0]:
                *lines, pending = (pending + os.read(self._rings, 65536)).split(b"\n")
                self._publish(line.decode().split("\t") for line in lines if line)
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + INTERVAL
        self._broker.close()
        connections.close_all()

    def _publish(self, rings: Iterable[list[str]]) -> None:
        for kind, queue, job_id in rings:
            if not self._broker.ring(kind, queue, job_id):
                # The rows are safe, and the sweeper rings for them later.
                break

    def _look(self) -> None:
        try:
            with FORK_LOCK:
                self._refresh()
                lead = self._sweeper.lead()
            if lead:
                self._sweep()
            self.figures.database = True
        except (DatabaseError, InterfaceError) as error:
            self._sweeper.lost_sight()
            with FORK_LOCK:
                connections.close_all()
            if self.figures.database:
                log.warning("relay: the database does not answer: %s", error)
            self.figures.database = False
        except Exception:
            log.exception("relay: this must not happen; going on")
        self.figures.broker = self._broker.check()

    def _sweep(self) -> None:
        with FORK_LOCK:
            self._sweeper.settle_lost()
            self._sweeper.fire_schedules()
            self._sweeper.purge()
        for queue, figures in self.figures.queues.items():
            missing = figures.depth - self._broker.depth(queue) if figures.depth else 0
            if missing <= 0:
                continue
            with FORK_LOCK:
                rows = self._sweeper.oldest_unrung(queue, missing)
            self._publish([job.kind, job.queue, str(job.pk)] for job in rows)

    def _refresh(self) -> None:
        found: dict[str, QueueFigures] = {name: QueueFigures() for name in self.figures.queues}
        rows = Job.objects.filter(transitions.due()).values("queue")
        for row in rows.annotate(depth=Count("pk"), oldest=Min("created_at"), now=Now()).order_by():
            age = (row["now"] - row["oldest"]).total_seconds()
            found[row["queue"]] = QueueFigures(row["depth"], age)
        ended = Job.objects.filter(
            status__in=FINAL, finished_at__gt=transitions.from_now(-60.0)
        ).values("queue")
        for queue, count in (
            ended.annotate(count=Count("pk")).order_by().values_list("queue", "count")
        ):
            found.setdefault(queue, QueueFigures()).drain = count / 60.0
        self.figures.queues = found
        self.figures.workers = Worker.objects.filter(
            seen_at__gt=transitions.from_now(-sweep.silence())
        ).count()
        WORKERS.set(self.figures.workers)
        for name, figures in found.items():
            WAITING.labels(name).set(figures.depth)
            OLDEST.labels(name).set(figures.age)


class Broker:
    """The relay's own bounded connection. Failures are logged once an outage, and answered with
    False or 0.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._producer: Any = None
        self._connection: Any = None
        self._up = True

    def ring(self, kind: str, queue: str, job_id: str) -> bool:
        """Publish one ring. Each has a Celery id of its own: a revoked id would swallow a later
        ring.
        """
        return self._try(lambda: self._send(kind, queue, job_id)) is not None

    def depth(self, queue: str) -> int:
        """Messages waiting in a queue; a huge number while the broker is away, so that nobody
        re-rings.
        """
        count: int | None = self._try(lambda: self._count(queue))
        return 2**31 if count is None else count

    def check(self) -> bool:
        """Whether the broker answers now."""
        return self._try(lambda: self._count(current_app.conf.task_default_queue)) is not None

    def close(self) -> None:
        """Close the connection without waiting for the other side."""
        self._producer = None
        try:
            self._open.close()
        except Exception:
            # It is being thrown away.
            log.debug("closing the broker connection failed", exc_info=True)

    def _send(self, kind: str, queue: str, job_id: str) -> bool:
        task = current_app.tasks[kind]
        task.apply_async((job_id,), queue=queue, producer=self._connected(), retry=False)
        return True

    def _count(self, queue: str) -> int:
        declared: Any = (
            current_app.amqp.queues[queue].bind(self._connected().channel).queue_declare()
        )
        return int(declared.message_count)

    def _connected(self) -> Any:
        if self._producer is None:
            connection = current_app.connection_for_write(transport_options=BROKER_LIMITS)
            self._open.enter_context(connection)
            self._producer = self._open.enter_context(current_app.amqp.Producer(connection))
        return self._producer

    def _try(self, action: Any) -> Any:
        try:
            answer = action()
        except Exception as error:  # noqa: BLE001 - kombu, redis-py and sockets each raise their own
            if self._up:
                log.warning("the broker does not answer, jobs wait in their rows: %s", error)
            self._up = False
            self.close()
            return None
        if not self._up:
            log.warning("the broker answers again")
        self._up = True
        return answer


_relay: Relay | None = None


def create() -> Relay:
    """Make this process's relay; `start()` it after the forks that shall ring it."""
    global _relay
    _relay = Relay()
    return _relay


def current() -> Relay | None:
    """This process's relay; None in a shell or a cron job, whose rows another process's sweeper
    finds in a second.
    """
    return _relay


def ring(jobs: list[Job]) -> None:
    """Have the broker told of new rows once their transaction is committed."""
    if _relay is not None:
        transaction.on_commit(partial(_relay.ring, jobs))


def stop() -> None:
    """Stop this process's relay."""
    global _relay
    stopping, _relay = _relay, None
    if stopping is not None:
        stopping.stop()
