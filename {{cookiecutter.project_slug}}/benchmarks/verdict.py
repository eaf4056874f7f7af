"""What a run says about the rule, in sentences made from its figures.

Each verdict can go against the rule: then `holds` is False and the advice is another one.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.measure import Figures
from benchmarks.rows import CROWD, LIMIT, MANY

Ways = Mapping[str, Figures]

# Two runs of the same way may differ by a smaller ratio.
NOTICEABLE_RATIO = 1.25
# From this ratio on a neighbour's longer wait counts as harm. Its p99 depends on few requests, so
# this ratio is wider.
HARMFUL_RATIO = 3.0
# A run is not to be trusted if other programs take a greater share of the machine.
MAX_OTHER_PROGRAMS = 0.1


@dataclass(frozen=True)
class Verdict:
    """A sentence about one row; `holds` says whether the rule is right on this machine."""

    row: str
    holds: bool
    sentence: str


def times(ratio: float, what: str) -> str:
    """`9.3 times the throughput`, `0.43 of the throughput`, or `about the same throughput`."""
    if 1 / NOTICEABLE_RATIO < ratio < NOTICEABLE_RATIO:
        return f"about the same {what}"
    return f"{ratio:.1f} times the {what}" if ratio > 1 else f"{ratio:.2f} of the {what}"


def ms(value: float) -> str:
    """Milliseconds as people read them: `3.1 ms`, `512 ms`, `1.6 s`."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def waiting(ways: Ways) -> Verdict:
    """Async views are the fastest way to wait."""
    fast, plain, pool, worker = ways["async"], ways["sync"], ways["threads"], ways["worker"]
    others = (plain, pool, worker)
    holds = all(fast.per_second >= NOTICEABLE_RATIO * other.per_second for other in others)
    advice = (
        "wait on the event loop"
        if holds
        else "here waiting may stay in a sync view, a thread pool or a worker"
    )

    throughput = times(fast.per_second / plain.per_second, "throughput")
    cpu = times(fast.cpu / plain.cpu, "CPU per request")
    pool_share, worker_share = (other.per_second / fast.per_second for other in (pool, worker))
    return Verdict(
        "waiting",
        holds,
        f"Waiting for ten APIs: compared with a sync view, an async view had {throughput} and used"
        f" {cpu}. It answered after {ms(fast.p50)} instead of {ms(plain.p50)}. Of its throughput a"
        f" thread pool had {pool_share:.2f} and a worker {worker_share:.2f}: {advice}.",
    )


def orm(ways: Ways) -> Verdict:
    """Async views gain nothing for queries."""
    fast, plain, pool, worker = ways["async"], ways["sync"], ways["threads"], ways["worker"]
    gain = fast.per_second / plain.per_second
    holds = gain < NOTICEABLE_RATIO and worker.per_second < NOTICEABLE_RATIO * plain.per_second
    advice = (
        "async does nothing for the ORM, so leave such a view sync"
        if holds
        else "here it helps, against the rule"
    )

    throughput, cpu = times(gain, "throughput"), times(fast.cpu / plain.cpu, "CPU per request")
    pool_throughput, worker_throughput = (
        times(other.per_second / plain.per_second, "throughput") for other in (pool, worker)
    )
    return Verdict(
        "orm",
        holds,
        f"Three queries: compared with a sync view, an async view had {throughput} and used {cpu}."
        f" A thread pool had {pool_throughput} with {pool.connections} connections instead of"
        f" {plain.connections}. A worker had {worker_throughput}: {advice}.",
    )


def computing(ways: Ways) -> Verdict:
    """Only processes compute without harm to other requests."""
    loop, thread, worker = (ways[way].neighbour_p99 for way in ("async", "threads", "worker"))
    froze, crowded = loop >= HARMFUL_RATIO * worker, thread >= HARMFUL_RATIO * worker
    worst = ms(ways["async"].neighbour_worst)
    if froze:
        found = f"Computing in an async view froze every other request, for up to {worst}"
        advice = "compute in processes" if crowded else "here a thread pool does as well"
    else:
        found = f"Computing in an async view delayed a neighbour by no more than {worst}"
        advice = "here it may stay where it is"
    return Verdict(
        "computing",
        froze and crowded,
        f"{found}. The neighbour's p99 was {ms(loop)} then, {ms(thread)} beside a thread pool and"
        f" {ms(worker)} beside a worker: {advice}.",
    )


def middleware(ways: Ways) -> Verdict:
    """One sync-only middleware makes an async chain slow."""
    native, sync = ways["async-native"], ways["sync-only"]
    slower, dearer = native.per_second / sync.per_second, sync.cpu / native.cpu
    holds = max(slower, dearer) >= NOTICEABLE_RATIO
    advice = "keep it out of the API's chain" if holds else "here it does no harm"

    throughput, cpu = times(1 / slower, "throughput"), times(dearer, "CPU per request")
    return Verdict(
        "middleware",
        holds,
        f"With one sync-only middleware the API had {throughput} and used {cpu}, on {sync.threads}"
        f" threads instead of {native.threads}: {advice}.",
    )


def blocking(ways: Ways) -> Verdict:
    """One blocking call delays every other request."""
    awaited, blocked = ways["awaited"].neighbour_p99, ways["blocking"].neighbour_p99
    holds = blocked >= HARMFUL_RATIO * awaited
    advice = "one such line is enough" if holds else "here it does no harm"
    return Verdict(
        "blocking",
        holds,
        f"Beside one blocking call in one async view a neighbour waited {ms(blocked)} (p99), beside"
        f" the awaited call {ms(awaited)}: {advice}.",
    )


def unbounded(ways: Ways) -> Verdict:
    """More calls at once than an API serves are refused."""
    bound, no_bound = ways["bounded"].refused, ways["unbounded"].refused
    holds = no_bound > bound + 0.01
    advice = "give each upstream a bulkhead" if holds else "here a bound gains nothing"
    return Verdict(
        "unbounded",
        holds,
        f"Of {MANY} calls at once to an API that serves {LIMIT}, {no_bound:.0%} were refused"
        f" without a bound and {bound:.0%} with one: {advice}.",
    )


def held(ways: Ways) -> Verdict:
    """A request that waits should hold neither a thread nor a connection."""
    released, kept = ways["released"], ways["held"]
    slower = released.per_second / kept.per_second
    holds = (
        slower >= NOTICEABLE_RATIO or kept.connections >= NOTICEABLE_RATIO * released.connections
    )
    advice = "give both back before a long wait" if holds else "here they may be kept"
    return Verdict(
        "held",
        holds,
        f"Requests that held their thread and connection while they waited used {kept.connections}"
        f" connections instead of {released.connections} and had"
        f" {times(1 / slower, 'throughput')}: {advice}.",
    )


def crowd(ways: Ways) -> Verdict:
    """Many requests can wait on one thread."""
    loop, plain = ways["async"], ways["sync"]
    more_threads = plain.threads >= NOTICEABLE_RATIO * loop.threads
    holds = more_threads and plain.p99 >= NOTICEABLE_RATIO * loop.p99
    advice = "waiting scales on the event loop" if holds else "here threads wait as well"
    return Verdict(
        "crowd",
        holds,
        f"{CROWD} requests at once: async views answered 99 % within {ms(loop.p99)} on"
        f" {loop.threads} threads, sync views within {ms(plain.p99)} on {plain.threads}: {advice}.",
    )


JUDGES: dict[str, Callable[[Ways], Verdict]] = {
    judge.__name__: judge
    for judge in (waiting, orm, computing, middleware, blocking, unbounded, held, crowd)
}


def judge(found: Mapping[str, Ways]) -> list[Verdict]:
    """A verdict for each row that was measured."""
    return [JUDGES[row](ways) for row, ways in found.items()]


def trust(found: Mapping[str, Ways]) -> str:
    """A warning if the figures are not to be trusted, else the empty string."""
    warnings = []
    busiest, place = max(
        (figures.other_programs, f"row {row}, way {way}")
        for row, ways in found.items()
        for way, figures in ways.items()
    )
    if busiest > MAX_OTHER_PROGRAMS:
        warnings.append(
            f"Too noisy to trust: other programs took up to {busiest:.0%} of this machine"
            f" ({place}). Close them, or use a quieter machine, and run again."
        )
    failed = sum(
        (Counter(each.failed) for ways in found.values() for each in ways.values()), Counter[str]()
    )
    if failed:
        why = ", ".join(f"{reason}: {count}" for reason, count in failed.most_common())
        warnings.append(
            f"{failed.total()} requests failed ({why}), so the figures measure errors, too."
        )
    return " ".join(warnings)
