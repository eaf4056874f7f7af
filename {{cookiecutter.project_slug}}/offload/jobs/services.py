"""What one process keeps open for jobs.

`services` lives as long as the process. (So do the registry of job types, the lock for forks in
`database.py`, and the metrics.) It is no attribute of a request, because `submit` is called without
one: from views, shells, commands and jobs. `web_process.py` fills it in a web process,
`worker/supervisor.py` in a worker. A shell has neither relay nor notifier; another process
publishes for its rows within a second.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from django.db import transaction

from offload.access.watched_logins import WatchedLogins
from offload.jobs.blocked import unblock
from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.events import EventPublisher
from offload.jobs.followers import followers_of
from offload.jobs.models import Job, Phase
from offload.jobs.notifier import Notifier
from offload.jobs.relay import Relay
from offload.jobs.stats import JobStats
from offload.serving.database_probe import DatabaseProbe

logger = logging.getLogger("offload.jobs")

# Keys of limits whose next jobs are unblocked at once, for example for the parts of one job. The
# maintenance unblocks for the others.
MAX_KEYS_UNBLOCKED_AT_ONCE = 20


@dataclass
class JobServices:
    """The services of one process."""

    # Publishes messages for new rows. Web processes and workers have one.
    relay: Relay | None = None
    # Notifies the watchers of jobs. Web processes have one.
    notifier: Notifier | None = None
    # What readiness reads. Web processes have one.
    database_probe: DatabaseProbe | None = None
    # What admission and health checks read. It stays empty where there is no relay.
    stats: JobStats = field(default_factory=JobStats)
    events: EventPublisher = field(default_factory=EventPublisher)
    # The logins of open event streams and long polls.
    watched_logins: WatchedLogins = field(default_factory=WatchedLogins)

    def running_notifier(self) -> Notifier:
        """This process's notifier.

        Raises:
            RuntimeError: the application was started without the jobs' lifespan.
        """
        if self.notifier is None:
            raise RuntimeError(
                "jobs cannot be watched: list offload.jobs.lifespan in config/asgi.py, and run "
                "uvicorn with --lifespan on"
            )
        return self.notifier

    def dispatch(self, jobs: Sequence[Job]) -> None:
        """Publish new and due jobs, once the surrounding transaction is committed.

        Of limited jobs those are published for which the limit has room.
        """
        unlimited = [job for job in jobs if job.limit_key is None]
        if self.relay is not None and unlimited:
            self.relay.notify_after_commit(unlimited)
        self.unblock_beside(jobs)

    def unblock_beside(self, jobs: Sequence[Job]) -> None:
        """Unblock jobs that share a limit with one of these, once the transaction is committed.

        Jobs without a limit cost nothing.
        """
        keys = {job.limit_key for job in jobs if job.limit_key is not None}
        for key in sorted(keys)[:MAX_KEYS_UNBLOCKED_AT_ONCE]:
            transaction.on_commit(partial(self._unblock, key))

    def _unblock(self, key: str) -> None:
        try:
            jobs = unblock(key)
        except DATABASE_ERRORS:
            # The job that is the reason has ended, or is inserted.
            logger.info(
                "jobs of the limit %r are not unblocked now; the maintenance does it within a "
                "second",
                key,
                exc_info=True,
            )
            return
        if self.relay is not None:
            self.relay.notify(jobs)

    def start_what_waited_for(self, ended: Job) -> None:
        """Tell the watchers of the new state, and start the jobs that waited for it.

        Three kinds of jobs may have waited: its followers, the next job of the same limit, and its
        parent if this was the last part. The maintenance starts them where the database does not
        answer here.

        Args:
            ended: the new row of a job whose attempt has ended; it may be queued again.
        """
        self.events.publish(ended)
        self.dispatch(followers_of(ended))
        self.unblock_beside([ended])
        parent = ended.parent if Job.parent.is_cached(ended) else None
        if parent is None:
            return

        self.events.publish(parent)
        if parent.phase == Phase.JOIN:
            self.dispatch([parent])

    def stop_relay(self) -> None:
        """Stop the relay, if there is one, and forget what it has read."""
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.stop()
        self.stats = JobStats()


services = JobServices()
