"""What one process keeps open for jobs.

`services` lives as long as the process. (So do the registry of job types, the lock for forks in
`database.py`, and the metrics.) It is no attribute of a request, because `submit` is called without
one: from views, shells, commands and jobs. `web_process.py` fills it in a web process,
`worker/supervisor.py` in a worker. A shell has neither relay nor notifier; another process
publishes for its rows within a second.
"""

from dataclasses import dataclass, field

from offload.access.watched_tokens import WatchedTokens
from offload.jobs.notifier import EventPublisher, Notifier
from offload.jobs.relay import Relay
from offload.jobs.stats import JobStats
from offload.serving.database_probe import DatabaseProbe


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
    # The tokens of open event streams and long polls.
    watched_tokens: WatchedTokens = field(default_factory=WatchedTokens)

    def watching(self) -> Notifier:
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

    def stop_relay(self) -> None:
        """Stop the relay, if there is one, and forget what it has read."""
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.stop()
        self.stats = JobStats()


services = JobServices()
