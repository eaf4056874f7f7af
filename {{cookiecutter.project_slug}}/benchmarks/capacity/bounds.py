"""What breaks first: for each bound, how much of it the traffic uses, and what to change then."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.model import Need, Traffic
from offload.conf import Offload

# PostgreSQL's default is 100; 3 are for administrators.
DATABASE_CONNECTIONS = 97
# The relay of a web process is one thread. It publishes for at most this part of the time, so that
# the event loop gets the GIL.
RELAY_USE = 0.3
# A web process may read others' events for this part of its time.
EVENTS_USE = 0.2
# Beside so many rows of finished jobs all costs were measured (decision 4 of the template).
MAX_TRIED_ROWS = 1_000_000


@dataclass(frozen=True)
class Use:
    """How much of a bound is used: 1.0 is all of it.

    Attributes:
        what: the bound.
        share: of it.
        then: what to change where it is passed.
    """

    what: str
    share: float
    then: str


def uses(traffic: Traffic, found: Need, costs: Costs, limits: Offload, cores: int) -> list[Use]:
    """The bounds, the most used one first. `cores` are those of PostgreSQL's host."""
    every = _uses(traffic, found, costs, limits, cores)
    return sorted(every, key=lambda use: use.share, reverse=True)


def _uses(
    traffic: Traffic, found: Need, costs: Costs, limits: Offload, cores: int
) -> Iterator[Use]:
    yield Use(
        "connections of PostgreSQL",
        found.connections / DATABASE_CONNECTIONS,
        "PgBouncer (docs/reference/limits.md), or a larger max_connections",
    )
    yield Use(
        "CPU of PostgreSQL",
        found.database_cpu / (cores * 0.7),
        "a larger host; read replicas for your own queries; shorter result_lifetime",
    )
    yield Use(
        "CPU of Redis, which computes in one thread",
        found.redis_cpu / 0.7,
        "a Redis for each group of queues, as services of their own; quotas in the proxy",
    )
    yield Use(
        "rows of finished jobs",
        found.rows / MAX_TRIED_ROWS,
        "a shorter result_lifetime; beyond it a table that is partitioned by time",
    )
    yield Use(
        "publishing of one web process",
        found.publishes_per_process * costs.submit / 2 / 1000 / RELAY_USE,
        "more web processes; several jobs in one submit_many, or divided jobs",
    )
    yield Use(
        "events that each web process reads",
        found.events_seen_cpu / EVENTS_USE,
        "fewer reports; an events_prefix and a Redis for each part of the service",
    )
    yield Use(
        "places of a queue, if no worker runs for 5 minutes",
        traffic.jobs * 300 / limits.queue_depth,
        "a larger queue_depth; a queue for each group of job types",
    )
