"""The worker's main process: renews leases, stops cancelled jobs, settles dead children, says that
it is alive.

It never computes, so a function that holds the GIL in a child starves none of this.
"""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import bootsteps, signals
from celery.worker import state
from django.db import DatabaseError, InterfaceError, connections
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs import events, execute, kinds, relay, transitions
from offload.jobs.models import Job, Status, Worker

log = logging.getLogger("offload.jobs")

# Seconds between looks at cancel flags.
INTERVAL = 0.5

_woken = threading.Event()
# Set in a shutdown, when the worker holds no running row any more.
_idle = threading.Event()
_settlements: "queue.SimpleQueue[tuple[UUID, Callable[[Job], Job | None]]]" = queue.SimpleQueue()


class Supervisor(bootsteps.StartStopStep):
    """A bootstep of the worker, running from before its pool's first fork until after its last job."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(worker,), name="offload-supervisor", daemon=True
        )
        self._announced = self._renewed = 0.0
        self._gone: set[tuple[UUID, int]] = set()
        # Before the pool forks: its children ring through a pipe.
        self._relay = relay.create()

    def start(self, worker: Any) -> None:
        """Called by Celery once the pool has forked."""
        _shut_down_softly()
        self._thread.start()
        self._relay.start()
        _check_policy()
        queues = ", ".join(sorted(worker.app.amqp.queues.consume_from))
        log.info(
            "worker %s is there: %s processes for %s", worker.hostname, worker.concurrency, queues
        )

    def stop(self, worker: Any) -> None:
        """Called by Celery at shutdown: what still runs is handed back, with its attempt returned."""
        self._stopping.set()
        _woken.set()
        self._thread.join(5.0)
        with relay.FORK_LOCK:
            for job in Job.objects.filter(worker=execute.WORKER_ID, status=Status.RUNNING):
                if handed := transitions.hand_back(job):
                    log.warning("job %s: %s at shutdown", job.pk, handed.status, extra=job.facts())
                    events.publish(handed)
            Worker.objects.filter(pk=execute.WORKER_ID).delete()
        relay.stop()

    def terminate(self, worker: Any) -> None:
        """Called by Celery instead of `stop` at a cold shutdown."""
        self.stop(worker)

    def _run(self, worker: Any) -> None:
        while not self._stopping.is_set():
            _woken.wait(INTERVAL)
            _woken.clear()
            try:
                with relay.FORK_LOCK:
                    self._look(worker)
            except (DatabaseError, InterfaceError) as error:
                log.warning("supervisor: the database does not answer: %s", error)
                with relay.FORK_LOCK:
                    connections.close_all()
            except Exception:
                log.exception("supervisor: this must not happen; going on")
        with relay.FORK_LOCK:
            connections.close_all()

    def _look(self, worker: Any) -> None:
        now = time.monotonic()
        if now - self._announced > conf().worker_silence / 3:
            _announce(worker)
            self._announced = now
        _settle()
        held = list(Job.objects.filter(worker=execute.WORKER_ID, status=Status.RUNNING))
        if not held and _shutting_down:
            _idle.set()
        if now - self._renewed > conf().lease / 3:
            transitions.renew(execute.WORKER_ID, [job.pk for job in held if _alive(job.pid)])
            self._renewed = now
        gone = [job for job in held if not _alive(job.pid)]
        for job in gone:
            # Seen twice: Celery, which knows the signal, had its chance to say it. It overlooks a
            # child that dies before its "accepted" was read (billiard 4.3), and would wait for the
            # time limit.
            if (job.pk, job.token) in self._gone and not _shutting_down:
                _note(transitions.lose(job, "worker lost: its process is gone", _lifetime(job)))
        self._gone = {(job.pk, job.token) for job in gone}
        if any(job.cancel_requested_at for job in held):
            _stop_cancelled(worker)


def _check_policy() -> None:
    """Warn of a Redis that drops messages when its memory is full; managed ones may not say."""
    try:
        with redis.Redis.from_url(
            conf().redis_url, socket_timeout=2, socket_connect_timeout=2
        ) as client:
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.RedisError as error:
        log.info("maxmemory-policy can't be asked for: %s", error)
        return
    if policy != "noeviction":
        log.warning(
            "Redis has maxmemory-policy %s and may drop messages: set it to noeviction", policy
        )


def _alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # No /proc on macOS.
        return True


def _running() -> list[Any]:
    """Celery's requests that a child process has begun."""
    known = {kind.kind for kind in kinds.all_kinds()}
    return [request for request in list(state.active_requests) if request.name in known]


def _announce(worker: Any) -> None:
    values = {
        "name": worker.hostname,
        "queues": sorted(worker.app.amqp.queues.consume_from),
        "slots": worker.concurrency,
        "busy": len(_running()),
        "seen_at": Now(),
    }
    if not Worker.objects.filter(pk=execute.WORKER_ID).update(**values):
        Worker.objects.create(pk=execute.WORKER_ID, **values)


def _stop_cancelled(worker: Any) -> None:
    """Kill the process of a job that was asked to stop and has not reported since: its grace is
    over.
    """
    held = Job.objects.filter(worker=execute.WORKER_ID, status=Status.RUNNING)
    overdue = held.filter(cancel_requested_at__lt=transitions.from_now(-conf().cancel_grace))
    for job in overdue:
        told = "job %s: cancelled and silent, its process %s is killed"
        log.warning(told, job.pk, job.pid, extra=job.facts())
        for request in _running():
            if request.args[0] == str(job.pk) and request.worker_pid == job.pid:
                # In the worker's own loop: it talks to Flower over the worker's connection, which
                # is not ours.
                worker.consumer.call_soon(request.terminate, worker.pool, signal.SIGKILL)
                break
        else:
            os.kill(job.pid or 0, signal.SIGKILL)


def _settle() -> None:
    """Write down what happened to children that could not do it themselves."""
    while not _settlements.empty():
        job_id, settlement = _settlements.get()
        try:
            job = Job.objects.filter(
                pk=job_id, worker=execute.WORKER_ID, status=Status.RUNNING
            ).first()
            ended = settlement(job) if job is not None else None
        except (DatabaseError, InterfaceError):
            _settlements.put((job_id, settlement))
            raise
        _note(ended)


def _note(settled: Job | None) -> None:
    if settled is not None:
        log.warning(
            "job %s: %s", settled.pk, settled.error or settled.status, extra=settled.facts()
        )
        events.publish(settled)


@signals.task_failure.connect
def _child_lost(sender: Any, args: Any, exception: BaseException, **_: Any) -> None:
    """In the main process Celery tells of failures that left the child no time to write."""
    if isinstance(exception, TimeLimitExceeded):
        kind = kinds.find(sender.name)
        reason = f"time limit: killed after {kind.time_limit:g} s"
        _settle_later(args, lambda job: transitions.fail(job, reason, _lifetime(job)))
    elif isinstance(exception, WorkerLostError) and not _shutting_down:
        reason = f"worker lost: {_why(exception)}"
        _settle_later(args, lambda job: transitions.lose(job, reason, _lifetime(job)))


@signals.task_revoked.connect
def _child_killed(request: Any, **_: Any) -> None:
    """The supervisor's own kill, after a cancelled job's grace."""
    if request.args and not _shutting_down:
        _settle_later(
            request.args, lambda job: transitions.lose(job, "worker lost: killed", _lifetime(job))
        )


def _settle_later(args: Any, settlement: Callable[[Job], Job | None]) -> None:
    _settlements.put((UUID(args[0]), settlement))
    _woken.set()


def _lifetime(job: Job) -> float:
    return kinds.find(job.kind).result_lifetime or conf().result_lifetime


def _why(error: WorkerLostError) -> str:
    """Celery's words hold the signal or exit code: 'Worker exited prematurely: signal 9 (SIGKILL)
    Job: 3.'
    """
    return (
        "its process ended by itself: "
        + str(error).partition("prematurely: ")[2].partition(" Job:")[0]
    )


_shutting_down = False


def _shut_down_softly() -> None:
    """Learn of a shutdown before Celery does: wait for what fits into the grace, then let Celery
    end the rest.

    From the first signal on a dead child is ours to hand back, not an attempt lost. Celery's own
    soft shutdown sleeps its whole time even if the jobs end early, and its Ctrl-C waits for every
    running job; this does for both.
    """
    celery_stops: Any = signal.getsignal(signal.SIGTERM)

    def stop(signum: int, frame: Any) -> None:
        global _shutting_down
        if not _shutting_down:
            _shutting_down = True
            _woken.set()
            _idle.wait(conf().worker_grace)
        celery_stops(signum, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
