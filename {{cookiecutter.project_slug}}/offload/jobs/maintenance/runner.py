"""Once a second: look at the database and the broker, and do the duties if this process leads.

The relay calls it in its thread.
"""

import logging
from collections.abc import Callable
from uuid import uuid4

from offload.jobs import metrics
from offload.jobs.database import DATABASE_ERRORS, FORK_LOCK, close_connections
from offload.jobs.declare import all_job_types
from offload.jobs.events import EventPublisher
from offload.jobs.maintenance.database_clock import CorrectTimes
from offload.jobs.maintenance.enqueue_periodic import EnqueuePeriodic
from offload.jobs.maintenance.find_unpublished import (
    FindUnpublished,
    PublishOldest,
    mark_published,
)
from offload.jobs.maintenance.give_up import FailOverdue, FailUnknown
from offload.jobs.maintenance.leader import Leadership, LeadLost
from offload.jobs.maintenance.prune import Prune
from offload.jobs.maintenance.read_stats import ReadStats
from offload.jobs.maintenance.rescue_lost import Observation, RescueLost
from offload.jobs.maintenance.settle_divided import SettleDivided
from offload.jobs.maintenance.unblock_limited import UnblockLimited
from offload.jobs.metrics import start_at_zero
from offload.jobs.relay import Broker, Relay
from offload.jobs.services import JobServices
from offload.jobs.stats import JobStats
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")


class Maintenance:
    """The maintenance of one process."""

    def __init__(self, broker: Broker, stats: JobStats, events: EventPublisher) -> None:
        self._broker = broker
        self._stats = stats
        self._leadership = Leadership(uuid4())
        self._observation = Observation()
        # Assumed until the end of the first look, so that nobody waits for the broker with the
        # database's answer.
        self._reaches_broker = True
        # Whether the database answered the last time: an outage is logged once.
        self._database_answers = True
        self._correct_times = CorrectTimes()
        read_stats = ReadStats(stats, self._leadership)
        # In this order. A duty that fails does not stop the next one. `ReadStats` finds other
        # `due_rows` in each run.
        self._duties: dict[str, Callable[[], None]] = {
            "correct times": self._correct_times.run,
            "read the stats": read_stats.run,
            "rescue lost jobs": RescueLost(self._observation, events, self._leadership.clock).run,
            "settle divided jobs": SettleDivided(events).run,
            "enqueue periodic jobs": EnqueuePeriodic().run,
            "unblock limited jobs": UnblockLimited(broker).run,
            "find unpublished jobs": FindUnpublished(broker, lambda: read_stats.due_rows).run,
            "publish the oldest jobs": PublishOldest(
                broker, stats, lambda: read_stats.due_rows
            ).run,
            "fail overdue jobs": FailOverdue(events).run,
            "fail jobs of unknown types": FailUnknown(events).run,
            "prune expired jobs": Prune().run,
        }

    def run(self) -> None:
        """Look at the database and the broker; never raise."""
        try:
            if self._leadership.is_due():
                if self._read_database():
                    self._do_all()
            else:
                self._mark_published()
        except LeadLost:
            logger.info("maintenance: another process has taken over")
        except DATABASE_ERRORS as error:
            if is_lock_conflict(error):
                # It says nothing of the leases of others.
                logger.warning("the maintenance met other transactions, trying again: %s", error)
            else:
                self._database_is_down(error)
        except Exception:
            logger.exception("the maintenance failed, and tries again in a second: this is a bug")

        self._stats.broker = self._reaches_broker = self._broker.check()
        with FORK_LOCK:
            metrics.WITHOUT_BROKER.set(not self._reaches_broker)
        self._observation.step()

    def _read_database(self) -> bool:
        """Read the leader's row. Returns whether this process leads."""
        with FORK_LOCK:
            leads = self._leadership.hold(self._reaches_broker, self._stats)
        self._look_at_clock(self._leadership.clock.take_step())
        self._observation.step()
        self._database_answers = True

        self._mark_published()
        return leads

    def _look_at_clock(self, step: float) -> None:
        """Take note of a clock of the database that was put forward by so many seconds, or back."""
        if not step:
            return
        logger.warning(
            "the database's clock was put %s by %.0f s; jobs go on as if it had not been",
            "forward" if step > 0 else "back",
            abs(step),
        )
        if step < 0:
            self._correct_times.clock_was_put_back()
        else:
            # Leases have ended early: their workers have to renew them.
            self._observation.begin_anew()

    def _mark_published(self) -> None:
        published = self._broker.take_published()
        if published:
            self._do("mark published jobs", lambda: mark_published(published))

    def _do_all(self) -> None:
        for name, duty in self._duties.items():
            self._do(name, duty)
            with FORK_LOCK:
                self._leadership.renew()

    def _do(self, name: str, duty: Callable[[], None]) -> None:
        """Do one duty. What goes wrong in it concerns no other duty."""
        try:
            duty()
        except LeadLost:
            raise
        except DATABASE_ERRORS as error:
            logger.warning("maintenance: %s: the database refused, trying again: %s", name, error)
            if not is_lock_conflict(error):
                close_connections()
        except Exception:
            logger.exception("maintenance: %s failed, and tries again: this is a bug", name)
        self._observation.step()

    def _database_is_down(self, error: Exception) -> None:
        self._observation.begin_anew()
        close_connections()
        if self._database_answers:
            logger.warning(
                "the database does not answer; no lost jobs are rescued until it does: %s", error
            )
        self._database_answers = False


def create_relay(services: JobServices) -> Relay:
    """Give a process its relay. It is started later, after the forks that notify it."""
    start_at_zero((each.name, each.limits.queue) for each in all_job_types())
    broker = Broker(services.stats)
    maintenance = Maintenance(broker, services.stats, services.events)
    services.relay = Relay(broker, maintenance.run)
    return services.relay
