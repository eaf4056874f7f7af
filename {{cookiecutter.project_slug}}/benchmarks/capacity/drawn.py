"""Mixtures of requests and jobs, each with the same as the model's traffic.

By one of them `measure` finds what a mixture costs more than its kinds. No cost was measured with
those that are drawn at random.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.capacity.kinds import BENCH, CALLS, COMPUTING, QUERY, TYPED
from benchmarks.capacity.load import Rate
from benchmarks.capacity.model import Traffic
from benchmarks.compute import rounds_of

DRAWN_LOADS = 5
# Requests and jobs a second, and seconds of CPU of a job's function: from, to.
REQUESTS, JOBS, JOB_SECONDS = (10.0, 60.0), (1.0, 8.0), (0.0, 0.03)
# Rows of the list of jobs: from, to.
LIST_LENGTHS = (5, 40)


@dataclass(frozen=True)
class Kind:
    """Requests of one kind.

    Args:
        path: where they go.
        queries, rows, calls: what one of them does.
    """

    path: str
    queries: float = 0.0
    rows: float = 0.0
    calls: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A load, and the same as the model's traffic."""

    name: str
    traffic: Traffic
    rates: list[Rate]


def drawn(seed: int) -> Iterator[Trial]:
    """The loads of a seed."""
    choose = random.Random(seed)
    for number in range(1, DRAWN_LOADS + 1):
        yield _drawn(choose, number)


def even() -> Trial:
    """As many requests of each kind, from the middle of what is drawn."""
    requests, jobs, seconds = (sum(span) / 2 for span in (REQUESTS, JOBS, JOB_SECONDS))
    kinds = _kinds(sum(LIST_LENGTHS) // 2)
    return _trial("even", requests, dict.fromkeys(kinds, 1 / len(kinds)), jobs, seconds)


def _drawn(choose: random.Random, number: int) -> Trial:
    kinds = _kinds(choose.randint(*LIST_LENGTHS))
    requests, jobs = choose.uniform(*REQUESTS), choose.uniform(*JOBS)
    seconds = choose.uniform(*JOB_SECONDS)
    weights = [choose.random() for _ in kinds]
    shares = {kind: weight / sum(weights) for kind, weight in zip(kinds, weights, strict=True)}
    name = f"{number}: {requests:.0f} requests, {jobs:.1f} jobs of {seconds * 1000:.0f} ms"
    return _trial(name, requests, shares, jobs, seconds)


def _kinds(length: int) -> tuple[Kind, ...]:
    return (
        Kind(TYPED),
        Kind(QUERY, queries=3),
        Kind(CALLS, calls=10),
        # A tenth of a row each: they have one column.
        Kind(f"{BENCH}/orm/sync?amount=50", queries=3, rows=5),
        Kind(f"/api/jobs?limit={length}", queries=2, rows=length),
        Kind(f"{BENCH}/one?amount=10", calls=1),
    )


def _trial(
    name: str, requests: float, shares: dict[Kind, float], jobs: float, seconds: float
) -> Trial:
    traffic = Traffic(
        requests=requests,
        queries=sum(kind.queries * share for kind, share in shares.items()),
        rows=sum(kind.rows * share for kind, share in shares.items()),
        calls=sum(kind.calls * share for kind, share in shares.items()),
        jobs=jobs,
        job_seconds=seconds,
        watchers=0,
    )
    rates = [Rate(requests * share, kind.path) for kind, share in shares.items()]
    return Trial(name, traffic, [*rates, Rate(jobs, COMPUTING.format(rounds_of(seconds)))])
