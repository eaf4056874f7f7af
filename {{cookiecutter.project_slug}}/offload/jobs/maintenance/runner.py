"""Once a second: refresh this process's stats, and do the duties if this process leads.

The relay calls it in its thread (`background.py` connects the two).
"""

import logging
from collections.abc import Callable
from uuid import uuid4

from offload.jobs.broker import Broker
from offload.jobs.database import DATABASE_ERRORS, FORK_LOCK, close_connections
from offload.jobs.maintenance.enqueue_periodic import EnqueuePeriodic
from offload.jobs.maintenance.find_unpublished import FindUnpublished
from offload.jobs.maintenance.leader import Leadership
from offload.jobs.maintenance.prune import Prune
from offload.jobs.maintenance.rescue_lost import Observation, RescueLost
from offload.jobs.notifier import EventPublisher
from offload.jobs.stats import JobStats

log = logging.getLogger("offload.jobs")


class Maintenance:
    """The maintenance of one process."""

    def __init__(self, broker: Broker, stats: JobStats, events: EventPublisher) -> None:
        self._broker = broker
        self._stats = stats
        self._leadership = Leadership(uuid4())
        self._observation = Observation()
        # In this order. A duty that fails does not stop the next one.
        self._duties: dict[str, Callable[[], None]] = {
            "rescue lost jobs": RescueLost(self._observation, events).run,
            "enqueue periodic jobs": EnqueuePeriodic().run,
            "prune expired jobs": Prune().run,
            "find unpublished jobs": FindUnpublished(broker, stats).run,
        }

    def run(self) -> None:
        """Look at the database and the broker; never raise."""
        try:
            if self._read_database():
                for name, duty in self._duties.items():
                    self._do(name, duty)
        except DATABASE_ERRORS as error:
            self._database_is_down(error)
        except Exception:
            log.exception("the maintenance failed, and tries again in a second: this is a bug")

        self._stats.broker = self._broker.check()

    def _read_database(self) -> bool:
        """Refresh the stats. Returns whether this process leads."""
        with FORK_LOCK:
            self._stats.refresh()
            self._observation.database_was_read()
            leads = self._leadership.hold()
        self._stats.database = True
        return leads

    def _do(self, name: str, duty: Callable[[], None]) -> None:
        try:
            duty()
        except DATABASE_ERRORS as error:
            log.warning("maintenance: %s: the database refused, trying again: %s", name, error)
            close_connections()
        except Exception:
            log.exception("maintenance: %s failed, and tries again: this is a bug", name)

    def _database_is_down(self, error: Exception) -> None:
        self._observation.database_was_down()
        self._leadership.forget()
        close_connections()
        if self._stats.database:
            log.warning(
                "the database does not answer; no lost jobs are rescued until it does: %s", error
            )
        self._stats.database = False
