"""What a run says about the rule, in words made from its figures: any of them can go against the
rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.measure import Figures
from benchmarks.rows import CROWD, LIMIT, MANY

Ways = Mapping[str, Figures]

# A smaller ratio is the noise of two runs.
NOTICEABLE = 1.25
# Times as long a wait of the neighbour: its p99 hangs on few requests, so it wants a wider margin.
HARMFUL = 3.0
# Share of the machine that others may take before a run is not to be trusted.
STRANGERS = 0.1


@dataclass(frozen=True)
class Verdict:
    """A sentence on one row; `holds` is whether this machine bears the rule out."""

    row: str
    holds: bool
    sentence: str


def times(ratio: float, what: str) -> str:
    """`9.3 times a sync view's throughput`, `0.43 of ...`, or, where two runs could differ as much,
    `about ...`.
    """
    if 1 / NOTICEABLE < ratio < NOTICEABLE:
        return f"about {what}"
    return f"{ratio:.1f} times {what}" if ratio > 1 else f"{ratio:.2f} of {what}"


def ms(value: float) -> str:
    """Milliseconds as people read them: `3.1 ms`, `512 ms`, `1.6 s`."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def waiting(ways: Ways) -> Verdict:
    fast, plain, pool, worker = ways["async"], ways["sync"], ways["threads"], ways["worker"]
    holds = all(fast.per_second >= NOTICEABLE * other.per_second for other in (plain, pool, worker))
    advice = (
        "wait on the event loop"
        if holds
        else "here waiting may stay in a sync view, a thread pool or a worker"
    )
    gave = times(fast.per_second / plain.per_second, "a sync view's throughput")
    pool_gave, worker_gave = (other.per_second / fast.per_second for other in (pool, worker))
    return Verdict(
        "waiting",
        holds,
        f"Waiting on ten APIs in an async view gave {gave} for {times(fast.cpu / plain.cpu, 'its CPU a request')}, "
        f"with answers after {ms(fast.p50)} instead of {ms(plain.p50)}; a thread pool gave "
        f"{pool_gave:.2f} of the async view's, a worker {worker_gave:.2f}: {advice}.",
    )


def orm(ways: Ways) -> Verdict:
    fast, plain, pool, worker = ways["async"], ways["sync"], ways["threads"], ways["worker"]
    gain = fast.per_second / plain.per_second
    holds = gain < NOTICEABLE and worker.per_second < NOTICEABLE * plain.per_second
    advice = (
        "async does nothing for the ORM, so leave such a view sync"
        if holds
        else "here it helps, against the rule"
    )
    gave = times(gain, "a sync view's throughput")
    pool_gave, worker_gave = (
        times(other.per_second / plain.per_second, "the sync view's") for other in (pool, worker)
    )
    return Verdict(
        "orm",
        holds,
        f"Three queries in an async view gave {gave} for {times(fast.cpu / plain.cpu, 'its CPU a request')}; a thread "
        f"pool gave {pool_gave} with {pool.connections} connections instead of {plain.connections}, a worker "
        f"{worker_gave}: {advice}.",
    )


def computing(ways: Ways) -> Verdict:
    loop, thread, worker = (ways[way].neighbour_p99 for way in ("async", "threads", "worker"))
    froze, crowded = loop >= HARMFUL * worker, thread >= HARMFUL * worker
    worst = ms(ways["async"].neighbour_worst)
    if froze:
        sentence = f"Computing in an async view froze every other request, for up to {worst}"
        advice = "compute in processes" if crowded else "here a thread pool does as well"
    else:
        sentence = f"Computing in an async view kept a neighbour for no more than {worst}"
        advice = "here it may stay where it is"
    return Verdict(
        "computing",
        froze and crowded,
        f"{sentence}: a neighbour's p99 was {ms(loop)}, {ms(thread)} beside a thread pool and {ms(worker)} beside a "
        f"worker: {advice}.",
    )


def middleware(ways: Ways) -> Verdict:
    native, sync = ways["async-native"], ways["sync-only"]
    slower, dearer = native.per_second / sync.per_second, sync.cpu / native.cpu
    holds = max(slower, dearer) >= NOTICEABLE
    advice = "keep it out of the API's chain" if holds else "here it does no harm"
    return Verdict(
        "middleware",
        holds,
        f"One sync-only middleware left {times(1 / slower, 'the throughput')} for "
        f"{times(dearer, 'the CPU a request')}, with {sync.threads} threads instead of {native.threads}: {advice}.",
    )


def blocking(ways: Ways) -> Verdict:
    awaited, blocked = ways["awaited"].neighbour_p99, ways["blocking"].neighbour_p99
    holds = blocked >= HARMFUL * awaited
    advice = "one such line is enough" if holds else "here it does no harm"
    return Verdict(
        "blocking",
        holds,
        f"One blocking call in one async view made a neighbour wait {ms(blocked)} (p99), where awaiting made it wait "
        f"{ms(awaited)}: {advice}.",
    )


def unbounded(ways: Ways) -> Verdict:
    held, loose = ways["bounded"].refused, ways["unbounded"].refused
    holds = loose > held + 0.01
    advice = "a bulkhead is cheaper than an apology" if holds else "here a bound gains nothing"
    return Verdict(
        "unbounded",
        holds,
        f"Of {MANY} calls at once to an API that serves {LIMIT}, {loose:.0%} were refused without a bound and "
        f"{held:.0%} with one: {advice}.",
    )


def held(ways: Ways) -> Verdict:
    free, kept = ways["released"], ways["held"]
    slower = free.per_second / kept.per_second
    holds = slower >= NOTICEABLE or kept.connections >= NOTICEABLE * free.connections
    advice = "give both back before a long wait" if holds else "here they may be kept"
    return Verdict(
        "held",
        holds,
        f"Requests that waited with thread and connection in hand used {kept.connections} connections instead of "
        f"{free.connections} and gave {times(1 / slower, 'the throughput')}: {advice}.",
    )


def crowd(ways: Ways) -> Verdict:
    loop, plain = ways["async"], ways["sync"]
    holds = plain.threads >= NOTICEABLE * loop.threads and plain.p99 >= NOTICEABLE * loop.p99
    advice = "waiting scales on the loop" if holds else "here threads wait as well"
    return Verdict(
        "crowd",
        holds,
        f"{CROWD} requests at once: 99 % were answered within {ms(loop.p99)} by {loop.threads} threads, in "
        f"sync views within {ms(plain.p99)} by {plain.threads}: {advice}.",
    )


JUDGES: dict[str, Callable[[Ways], Verdict]] = {
    judge.__name__: judge
    for judge in (waiting, orm, computing, middleware, blocking, unbounded, held, crowd)
}


def judge(found: Mapping[str, Ways]) -> list[Verdict]:
    """A verdict for each row that was measured."""
    return [JUDGES[row](ways) for row, ways in found.items()]


def trust(found: Mapping[str, Ways]) -> str:
    """A warning where the run is not to be trusted, else the empty string."""
    warnings = []
    busiest, row = max(
        (figures.strangers, f"{row}, {way}")
        for row, ways in found.items()
        for way, figures in ways.items()
    )
    if busiest > STRANGERS:
        warnings.append(
            f"Too noisy to trust: other programs took up to {busiest:.0%} of this machine ({row}). "
            "Close them, or take a quieter machine, and run again."
        )
    if failed := sum(figures.failed for ways in found.values() for figures in ways.values()):
        warnings.append(f"{failed} requests failed: the figures tell of errors, not of work.")
    return " ".join(warnings)
