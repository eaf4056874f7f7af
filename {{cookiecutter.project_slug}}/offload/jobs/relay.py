"""The relay: a thread that publishes the messages of queued rows, by a bounded connection.

Every web process and every worker's main process has one. No other thread publishes. A dead, silent
or slow broker therefore costs a submit nothing. A message holds a job's id and nothing else. It may
be lost, doubled or late, because the row is the truth.
"""

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar

from django.db import connections, transaction
from redis.exceptions import ResponseError

from offload.celery_app import celery_app
from offload.jobs.models import Job, Phase
from offload.jobs.priority import OwnerBacklogs, Priority
from offload.jobs.stats import JobStats

logger = logging.getLogger("offload.jobs")

T = TypeVar("T")

# Seconds between two runs of the maintenance. The message for a new row does not wait for them.
MAINTENANCE_INTERVAL_SECONDS = 1.0
# Seconds that `stop` waits for the thread.
RELAY_STOP_TIMEOUT_SECONDS = 5.0
# Seconds. kombu's defaults wait for ever on a silent broker, and 134 s on one that drops packets
# (measured, Celery 5.7). The relay's thread may wait a little, never long. There are no retries:
# the maintenance publishes again.
CONNECTION_LIMITS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "max_retries": 0}
# Seconds after a failure in which the broker is not asked again. A silent broker would otherwise
# cost its second several times in one run of the maintenance.
FAILURE_PAUSE_SECONDS = 1.0
# Seconds after a refused message in which the broker counts as down, although it answers questions:
# a full Redis does.
REFUSAL_SECONDS = 10.0
# Published jobs whose rows are not marked yet. Beyond it a row may be published twice.
MAX_UNMARKED = 10_000


class BrokerUnavailable(Exception):
    """The broker does not answer. It says nothing about the row that was to be published."""


class UnknownQueue(Exception):
    """A row's queue is not declared in config/celery.py. It says nothing about the broker."""


class JobMessage(NamedTuple):
    """A notice to the workers of a queue that a job is due.

    Priority and owner decide in which step of the queue it waits; see `priority.py`.
    """

    kind: str
    queue: str
    job_id: str
    # The digit of a `Priority`.
    priority: str
    # The owner's name without tabs and line ends; empty where the owner's other jobs do not count.
    owner: str

    @classmethod
    def of(cls, job: Job) -> "JobMessage":
        """The message of a job."""
        # A job whose parts have all succeeded waits for no other job of its owner.
        owner = "" if job.phase == Phase.JOIN else " ".join(job.owner.split())
        return cls(job.kind, job.queue, str(job.pk), str(int(job.priority)), owner)

    def first_of_all(self) -> "JobMessage":
        """This message, with the first step of its queue."""
        return self._replace(priority=str(int(Priority.HIGH)), owner="")


class Broker:
    """One connection to the broker. It logs the begin and the end of an outage, once each.

    Args:
        stats: what the leader counted. Without it, an owner's backlog is what was published here.
    """

    def __init__(self, stats: JobStats | None = None) -> None:
        read = stats or JobStats()
        self._backlogs = OwnerBacklogs(lambda: read.owners)
        self._open = ExitStack()
        self._producer: Any = None
        self._available = True
        self._failed_at = -FAILURE_PAUSE_SECONDS
        self._refused_at = -REFUSAL_SECONDS
        # Whether it has refused a message and taken none since.
        self._takes_nothing = False
        self._reported_queues: set[str] = set()
        # The ids of jobs that were published and whose rows do not say so yet.
        self._published: list[str] = []

    def publish(self, messages: Iterable[JobMessage]) -> bool:
        """Publish messages, until the broker fails.

        A message that cannot be published because of its own row is logged and passed over.

        Returns:
            False where the broker failed: the jobs wait in their rows.
        """
        for message in messages:
            try:
                self._check_declared(message.queue)
                self._try(partial(self._send, message))
            except UnknownQueue as error:
                self._report_unknown(message.queue, error)
            except BrokerUnavailable:
                return False
            else:
                if len(self._published) < MAX_UNMARKED:
                    self._published.append(message.job_id)
        return True

    def take_published(self) -> list[str]:
        """The ids of the jobs that were published since the last call."""
        published, self._published = self._published, []
        return published

    def depth(self, queue: str) -> int:
        """How many messages wait in a queue.

        Raises:
            BrokerUnavailable: the broker does not answer.
            UnknownQueue: config/celery.py declares no such queue.
        """
        self._check_declared(queue)
        return self._try(partial(self._count, queue))

    def check(self) -> bool:
        """Whether the broker answers now, and has refused no message lately."""
        try:
            # Any declared queue will do: what is asked is whether the broker answers.
            self.depth(next(iter(celery_app().amqp.queues)))
        except BrokerUnavailable:
            return False
        return not self._refused_lately()

    def close(self) -> None:
        """Close the connection, without waiting for the other side."""
        self._producer = None
        try:
            self._open.close()
        except Exception:
            # Nobody needs this connection any more.
            logger.debug("closing the broker connection failed", exc_info=True)

    def _send(self, message: JobMessage) -> None:
        """Publish one message, by the task's name: only workers know the task.

        Each message gets a Celery id of its own. A later message with a revoked id would be
        dropped.
        """
        celery_app().send_task(
            message.kind,
            (message.job_id,),
            queue=message.queue,
            priority=self._backlogs.next_step(
                message.queue, message.owner, Priority(int(message.priority))
            ),
            producer=self._connected(),
            retry=False,
            ignore_result=True,
        )
        self._takes_nothing = False

    def _count(self, queue: str) -> int:
        bound = celery_app().amqp.queues[queue].bind(self._connected().channel)
        declared: Any = bound.queue_declare()
        return int(declared.message_count)

    def _connected(self) -> Any:
        if self._producer is None:
            connection = celery_app().connection_for_write(transport_options=CONNECTION_LIMITS)
            self._open.enter_context(connection)
            self._producer = self._open.enter_context(celery_app().amqp.Producer(connection))
        return self._producer

    def _check_declared(self, queue: str) -> None:
        if queue not in celery_app().amqp.queues:
            raise UnknownQueue(f"config/celery.py declares no queue {queue!r}")

    def _report_unknown(self, queue: str, error: UnknownQueue) -> None:
        """Log an unknown queue once, not every second."""
        if queue not in self._reported_queues:
            self._reported_queues.add(queue)
            logger.error("jobs are not published: %s. Declare the queue, or cancel its jobs", error)

    def _refused_lately(self) -> bool:
        return time.monotonic() - self._refused_at < REFUSAL_SECONDS

    def _try(self, action: Callable[[], T]) -> T:
        if time.monotonic() - self._failed_at < FAILURE_PAUSE_SECONDS:
            raise BrokerUnavailable

        try:
            answer = action()
        except Exception as error:
            self._failed_at = time.monotonic()
            if isinstance(error, ResponseError) or isinstance(error.__cause__, ResponseError):
                self._refused_at, self._takes_nothing = self._failed_at, True
            if self._available:
                logger.warning(
                    "the broker does not answer; jobs wait in their rows until it does: %s (%s)",
                    error,
                    _broker_address(),
                )
            self._available = False
            self.close()
            raise BrokerUnavailable from error

        if not self._available and not self._takes_nothing:
            self._available = True
            logger.warning("the broker answers again; waiting jobs are published")
        return answer


def _broker_address() -> str:
    """Without its password. Where settings name none, Celery asks RabbitMQ on this host."""
    try:
        return str(celery_app().connection_for_write().as_uri())
    except (ImportError, KeyError, ValueError):
        # Its transport is not known or not installed, or the URL is none.
        return "its address cannot be read"


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
