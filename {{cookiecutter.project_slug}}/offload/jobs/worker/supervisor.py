"""The supervisor: a thread in a worker's main process that looks after the processes that compute.

It never computes. A function that holds the GIL in another process therefore delays none of its
duties, and each duty has a file: `heartbeat.py`, `orphans.py`, `kills.py`, `shutdown.py`. Some are
threads of their own: `time_limits.py` and `sign_of_life.py` must not wait for the database, and
`write_spooled.py` may wait for file storage.
"""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import bootsteps, signals

from offload.conf import conf
from offload.guard.checks.celery_checks import check_time_limits
from offload.guard.checks.run_checks import log_warnings
from offload.jobs.database import DATABASE_ERRORS, FORK_LOCK, close_connections
from offload.jobs.maintenance.runner import create_relay
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.jobs.stats import JobStats
from offload.jobs.worker.assignments import Assignments
from offload.jobs.worker.heartbeat import Heartbeat, Leases
from offload.jobs.worker.kept_end import Spooler
from offload.jobs.worker.kills import Kills
from offload.jobs.worker.left_behind import forget_connections
from offload.jobs.worker.metrics_server import open_metrics_server, serve
from offload.jobs.worker.orphans import Orphans
from offload.jobs.worker.processes import kill_children
from offload.jobs.worker.shutdown import LAST_STATEMENTS_SECONDS, Shutdown, hand_back_jobs
from offload.jobs.worker.sign_of_life import MainLoop, SignOfLife
from offload.jobs.worker.spool import Spool
from offload.jobs.worker.start import check_redis_policy, require_forked_processes
from offload.jobs.worker.tasks import register_tasks
from offload.jobs.worker.threads import starts
from offload.jobs.worker.time_limits import TimeLimits
from offload.jobs.worker.write_spooled import WriteSpooled
from offload.observe.span_queue import SENT_AFTER_SECONDS
from offload.observe.traced_queries import trace_queries
from offload.observe.tracing import tracing
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two looks at the worker's rows while it has any.
SUPERVISOR_INTERVAL_SECONDS = 0.5


class Supervisor(bootsteps.StartStopStep):
    """A bootstep of Celery's worker.

    It runs from before the pool's first fork until after the last job.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        require_forked_processes(worker)
        self._metrics_server = open_metrics_server()
        _start_tracing()
        signals.worker_process_init.connect(_prepare_process)
        # Forked processes inherit the id: it says who holds the leases.
        self._worker_id = uuid4()
        # Before the pool forks: its processes write the table, and notify the relay by a pipe.
        self._assignments = Assignments(max(worker.concurrency, worker.max_concurrency or 0))
        self._relay = create_relay(services)
        self._spool = Spool(Path(conf().spool_folder))
        # Celery has imported the tasks that web processes need not know; jobs have limits.
        log_warnings(check_time_limits())
        register_tasks(self._worker_id, self._assignments, Spooler(self._spool))

        # Whether the database answered at the last look.
        self._database_answers = True
        # When the rows of this worker were read the last time, and whether there were any.
        self._looked_at, self._holds_rows = 0.0, False
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._shutdown = Shutdown(self._assignments, self._spool, self._woken.set)
        self._heartbeat = Heartbeat(self._worker_id)
        self._orphans = Orphans(self._shutdown, self._woken.set, self._spool)
        self._leases = Leases(self._worker_id)
        self._write_spooled = WriteSpooled(self._spool)
        self._kills = Kills(self._assignments, self._worker_id, self._spool)
        # `consumer.py` finds it here.
        worker.main_loop = MainLoop()
        self._life = self._sign_of_life(worker.main_loop)
        self._time_limits = TimeLimits(self._assignments, self._orphans.killed_for_time_limit)
        self._thread = threading.Thread(
            target=self._run, args=(worker,), name="offload-supervisor", daemon=True
        )

    def start(self, worker: Any) -> None:
        """Called by Celery once the pool has forked."""
        if self._metrics_server is not None:
            serve(self._metrics_server)
        self._shutdown.listen()
        self._spool.check()
        self._thread.start()
        if self._life is not None:
            self._life.start()
        self._write_spooled.start()
        self._time_limits.start()
        self._relay.start()
        check_redis_policy()
        logger.info(
            "worker %s is ready: queues %s, %s at a time",
            worker.hostname,
            ", ".join(sorted(worker.app.amqp.queues.consume_from)),
            worker.concurrency,
        )

    def stop(self, worker: Any) -> None:
        """Called by Celery at shutdown, before it ends the pool.

        Where the database is silent, it gives up after 5 s. What is to be written is in the spool.
        """
        # Already done where a signal began the shutdown; Flower's button comes without one.
        self._shutdown.wait_for_jobs()

        self._stopping.set()
        self._woken.set()
        self._time_limits.stop()
        self._write_spooled.stop()
        relay_stops = threading.Thread(target=services.stop_relay, daemon=True)
        if not starts(relay_stops, otherwise="the worker waits for its relay before all else"):
            services.stop_relay()

        if tracing.is_on:
            # The processes have ended their jobs, and send the last spans by themselves.
            time.sleep(SENT_AFTER_SECONDS)
        kill_children()
        deadline = time.monotonic() + LAST_STATEMENTS_SECONDS
        self._thread.join(LAST_STATEMENTS_SECONDS)
        left = max(deadline - time.monotonic(), 0.0)
        if not hand_back_jobs(self._worker_id, self._heartbeat, self._write_spooled, left):
            self._shutdown.spool_hand_backs()
        if relay_stops.is_alive():
            relay_stops.join(max(deadline - time.monotonic(), 0.0))
        tracing.flush()
        if self._life is not None:
            self._life.end()

    def terminate(self, worker: Any) -> None:
        """Called by Celery instead of `stop` at a cold shutdown."""
        self.stop(worker)

    def _sign_of_life(self, main_loop: MainLoop) -> SignOfLife | None:
        if not conf().worker_life_file:
            return None
        path = Path(conf().worker_life_file)
        return SignOfLife(path, main_loop, lambda: self._shutdown.requested)

    def _run(self, worker: Any) -> None:
        while not self._stopping.is_set():
            woken = self._woken.wait(SUPERVISOR_INTERVAL_SECONDS)
            self._woken.clear()
            if not woken and self._is_idle():
                continue
            try:
                with FORK_LOCK:
                    self._look(worker)
                self._database_answers = True
            except DATABASE_ERRORS as error:
                if is_lock_conflict(error):
                    logger.warning(
                        "other transactions are in the way of a look at this worker's jobs; it "
                        "looks again in %g s: %s",
                        SUPERVISOR_INTERVAL_SECONDS,
                        error,
                    )
                else:
                    self._report_outage(error)
                    self._kills.database_is_down()
                    close_connections()
            except Exception:
                logger.exception("the supervisor failed, and looks again: this is a bug")

        close_connections()

    def _report_outage(self, error: Exception) -> None:
        """Log one line for an outage, and not one for each look."""
        if self._database_answers:
            logger.warning(
                "the database does not answer, leases are not renewed until it does: %s", error
            )
        self._database_answers = False

    def _is_idle(self) -> bool:
        """Whether no look is needed: the last one found no rows, and no process works on a job.

        Three times in a lease a look is needed all the same, and for the heartbeat.
        """
        recent = time.monotonic() - self._looked_at < min(conf().lease, conf().worker_silence) / 3
        return recent and not self._holds_rows and not self._assignments.working()

    def _look(self, worker: Any) -> None:
        """Look at this worker's rows, and then at its processes.

        The order matters: what is in the table and in no row was fenced out, or claimed in between.
        """
        rows = Job.objects.filter(worker=self._worker_id, status=Status.RUNNING)
        held = list(rows.defer(*Job.LARGE_FIELDS))
        self._holds_rows, self._looked_at = bool(held), time.monotonic()
        working = self._assignments.working()
        self._heartbeat.beat(worker, len(working), self._shutdown.requested)
        if not working:
            self._shutdown.worker_is_idle()

        self._leases.renew(held, working)
        self._orphans.settle(held, working)
        self._kills.look(held, working)


def _start_tracing() -> None:
    """Before the pool forks, because its processes share the imported packages."""
    tracing.start(conf().events_prefix)
    trace_queries()
    if tracing.is_on:
        # A process that has done its number of jobs exits at once.
        signals.worker_process_shutdown.connect(_flush_spans)


def _flush_spans(**_: Any) -> None:
    tracing.flush()


def _prepare_process(**_: Any) -> None:
    """Called in each process that computes, once it is forked."""
    # It reads no stats. A queue that was full at its fork would stay full.
    services.stats = JobStats()
    # Its own forks are those of jobs.
    os.register_at_fork(after_in_child=forget_connections)
