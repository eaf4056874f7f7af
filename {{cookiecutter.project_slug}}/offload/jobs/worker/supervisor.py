"""The supervisor: a thread in a worker's main process that looks after the processes that compute.

It never computes. A function that holds the GIL in another process therefore delays none of its
duties, and each duty has a file: `heartbeat.py`, `dead_processes.py`, `lease.py`,
`kill_cancelled.py`, `shutdown.py`.
"""

import logging
import threading
from typing import Any
from uuid import uuid4

from celery import bootsteps

from offload.jobs.background import create_relay
from offload.jobs.database import DATABASE_ERRORS, FORK_LOCK, close_connections
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.jobs.worker.dead_processes import DeadProcesses
from offload.jobs.worker.executor import register_tasks
from offload.jobs.worker.heartbeat import Heartbeat
from offload.jobs.worker.kill_cancelled import kill_cancelled
from offload.jobs.worker.lease import Leases
from offload.jobs.worker.redis_policy import check_redis_policy
from offload.jobs.worker.shutdown import Shutdown, hand_back_jobs

log = logging.getLogger("offload.jobs")

# Seconds between two looks at the worker's rows.
SUPERVISOR_INTERVAL_SECONDS = 0.5
# Seconds that the shutdown waits for the thread.
STOP_TIMEOUT_SECONDS = 5.0


class Supervisor(bootsteps.StartStopStep):
    """A bootstep of Celery's worker. It runs from before the pool's first fork until after the last
    job.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        # Forked processes inherit the id: it says who holds the leases.
        self._worker_id = uuid4()
        # Before the pool forks, because its processes notify the relay through a pipe.
        self._relay = create_relay(services)
        register_tasks(self._worker_id)

        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._shutdown = Shutdown(self._woken.set)
        self._heartbeat = Heartbeat(self._worker_id)
        self._dead_processes = DeadProcesses(self._worker_id, self._shutdown, self._woken.set)
        self._leases = Leases(self._worker_id)
        self._thread = threading.Thread(
            target=self._run, args=(worker,), name="offload-supervisor", daemon=True
        )

    def start(self, worker: Any) -> None:
        """Called by Celery once the pool has forked."""
        self._shutdown.listen()
        self._thread.start()
        self._relay.start()
        check_redis_policy()
        log.info(
            "worker %s is ready: %s processes for %s",
            worker.hostname,
            worker.concurrency,
            ", ".join(sorted(worker.app.amqp.queues.consume_from)),
        )

    def stop(self, worker: Any) -> None:
        """Called by Celery at shutdown: jobs that still run are handed back."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(STOP_TIMEOUT_SECONDS)
        with FORK_LOCK:
            hand_back_jobs(self._worker_id)
            self._heartbeat.end()
        services.stop_relay()

    def terminate(self, worker: Any) -> None:
        """Called by Celery instead of `stop` at a cold shutdown."""
        self.stop(worker)

    def _run(self, worker: Any) -> None:
        while not self._stopping.is_set():
            self._woken.wait(SUPERVISOR_INTERVAL_SECONDS)
            self._woken.clear()
            try:
                with FORK_LOCK:
                    self._look(worker)
            except DATABASE_ERRORS as error:
                log.warning(
                    "the database does not answer, leases are not renewed until it does: %s", error
                )
                close_connections()
            except Exception:
                log.exception("the supervisor failed, and looks again: this is a bug")

        close_connections()

    def _look(self, worker: Any) -> None:
        """One look at this worker's rows and processes."""
        self._heartbeat.beat(worker)
        self._dead_processes.write_pending()

        held = list(Job.objects.filter(worker=self._worker_id, status=Status.RUNNING))
        if not held:
            self._shutdown.worker_is_idle()

        self._leases.renew(held)
        self._dead_processes.reclaim(held)
        kill_cancelled(worker, self._worker_id, held)
