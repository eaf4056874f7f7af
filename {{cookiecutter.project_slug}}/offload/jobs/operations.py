"""What the operations page shows: the state of jobs, workers, limits, schedules and upstreams.

What the leader counted comes from memory. The rest is read in sections. Each statement reads a
bounded piece of an index of unfinished jobs, or of the newest finished ones, in a bounded time.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Count, QuerySet
from django.db.models.functions import Now
from django.utils.text import capfirst

from offload.conf import conf
from offload.fanout.overview import open_upstreams
from offload.jobs.blocked import blocked, blocked_keys, limit_of
from offload.jobs.database import DATABASE_ERRORS, close_connections
from offload.jobs.declare import find_recurrence
from offload.jobs.models import Job, Pause, Schedule, Status, Worker
from offload.jobs.run_limit import SEPARATOR
from offload.jobs.services import services
from offload.jobs.transactions import retry_conflicts, short_reads

# Seconds that one statement of the page may take (PostgreSQL).
STATEMENT_TIMEOUT_SECONDS = 2.0
# Jobs that are counted in a state; of more the page says "10,000+".
MAX_COUNTED_JOBS = 10_000
# Running jobs, limits and blocked jobs of one limit that are shown or counted.
MAX_SHOWN_JOBS = 200
MAX_SHOWN_LIMITS = 20
MAX_COUNTED_BLOCKED = 1000
# Seconds after which the leader's figures are old.
MAX_STATS_AGE_SECONDS = 10.0


@dataclass
class TypeRow:
    """The unfinished jobs of one type in one queue. The counts are texts: "3", or "10,000+"."""

    queue: str
    kind: str
    due: str = ""
    # Seconds since the oldest of them became due.
    age: float | None = None
    running: str = ""
    later: str = ""
    blocked: str = ""
    divided: str = ""


@dataclass
class LimitRow:
    """A limit with blocked jobs. Its key may hold what a parameter holds."""

    key: str
    name: str
    words: str
    blocked: str
    taken: int


def read_operations() -> dict[str, Any]:
    """The page's sections, by the names that its template knows.

    A section that the database does not give in time is not there, nor are those after it, and
    `missing` names them.
    """
    sections: dict[str, Callable[[], Any]] = {
        "types": _types,
        "finished": _finished,
        "workers": _workers,
        "pauses": lambda: list(Pause.objects.order_by("paused_at")),
        "limits": _limits,
        "schedules": _schedules,
    }
    shown: dict[str, Any] = {"missing": []}
    for name, read in sections.items():
        if not shown["missing"]:
            try:
                shown[name] = retry_conflicts(partial(_read_soon, read))
                continue
            except DATABASE_ERRORS:
                close_connections()
        shown["missing"].append(name)
    return {**shown, "upstreams": open_upstreams(), "faults": list(_faults(shown))}


def _read_soon(read: Callable[[], Any]) -> Any:
    with short_reads(STATEMENT_TIMEOUT_SECONDS):
        return read()


def _faults(shown: dict[str, Any]) -> Iterator[str]:
    """What is wrong, in sentences. It asks nobody."""
    stats = services.stats
    if shown["missing"]:
        yield (
            f"The database does not answer within {STATEMENT_TIMEOUT_SECONDS:g} s. Missing on this "
            f"page: {', '.join(shown['missing'])}."
        )
    if services.relay is not None and stats.age() > MAX_STATS_AGE_SECONDS:
        yield "Nobody has read the queues for some time: the counts of due jobs are old."
    if services.relay is not None and not stats.broker:
        yield "This process does not reach the broker (Redis). Jobs wait in their rows meanwhile."
    if services.notifier is not None and not services.notifier.subscribed:
        yield "This process gets no events from Redis. It reads watched rows once a second instead."

    running = [each["row"] for each in shown.get("workers", ()) if not each["is_silent"]]
    read = {queue for worker in running for queue in worker.queues}
    waiting = {backlog.queue for backlog in stats.backlogs}
    if "workers" in shown:
        for queue in sorted(waiting - read):
            yield f"Jobs wait in the queue {queue!r}, and no worker reads it."
    for queue, kinds in stats.unserved.items():
        for kind in kinds:
            yield f"No running worker of the queue {queue!r} knows the job type {kind!r}."
    for paused in shown.get("pauses", ()):
        why = paused.reason or "no reason given"
        yield f"{capfirst(str(paused))} is paused by {paused.paused_by}: {why}."


def _types() -> list[TypeRow]:
    """What waits and what runs, by queue and type."""
    rows: dict[tuple[str, str], TypeRow] = {}
    for backlog in services.stats.backlogs:
        key = backlog.queue, backlog.kind
        rows[key] = TypeRow(*key, due=f"{backlog.rows:,}", age=backlog.age)

    held = Job.objects.filter(worker__isnull=False)
    # Both conditions name the index `offload_job_waiting`.
    later = Job.objects.filter(due_at__isnull=False, due_at__gt=Now())
    divided = Job.objects.filter(
        worker__isnull=True, due_at__isnull=True, unblock_at__isnull=True, finished_at__isnull=True
    )
    columns = {
        "running": held,
        "later": later,
        "blocked": Job.objects.filter(unblock_at__isnull=False),
        "divided": divided,
    }
    for column, jobs in columns.items():
        for key, count in _count_by_type(jobs).items():
            setattr(rows.setdefault(key, TypeRow(*key)), column, count)
    return sorted(rows.values(), key=lambda row: (row.queue, row.kind))


def _count_by_type(jobs: QuerySet[Job]) -> dict[tuple[str, str], str]:
    few = jobs.order_by().values_list("queue", "kind")[:MAX_COUNTED_JOBS]
    counts = Counter(few)
    # Beyond the bound each count is too low, not only the sum.
    more = "+" if counts.total() == MAX_COUNTED_JOBS else ""
    return {key: f"{count:,}{more}" for key, count in counts.items()}


def _finished() -> dict[str, Any]:
    """The newest finished jobs by type and end, the types with most failures first."""
    newest = Job.objects.filter(finished_at__isnull=False).order_by("-finished_at")
    ended = list(newest.values_list("kind", "status", "finished_at")[:MAX_COUNTED_JOBS])
    kinds: dict[str, Counter[str]] = {}
    for kind, status, _ in ended:
        kinds.setdefault(kind, Counter())[status] += 1
    by_failures = sorted(kinds.items(), key=lambda each: (-each[1][Status.FAILED], each[0]))
    rows = [
        {"kind": kind, **{status.value: counts[status] for status in Status}}
        for kind, counts in by_failures
    ]
    return {"rows": rows, "number": len(ended), "since": ended[-1][2] if ended else None}


def _workers() -> list[dict[str, Any]]:
    """The workers, silent ones too, and what each works on."""
    held = Job.objects.filter(worker__isnull=False).order_by("worker", "started_at")
    jobs: dict[Any, list[Job]] = {}
    for job in held.only("kind", "worker", "claimed_at", "progress")[:MAX_SHOWN_JOBS]:
        jobs.setdefault(job.worker, []).append(job)
    silence = conf().worker_silence
    return [
        {
            "row": worker,
            "is_silent": _age(worker.seen_at) > silence,
            "jobs": jobs.get(worker.pk, []),
        }
        for worker in Worker.objects.order_by("name")
    ]


def _limits() -> list[LimitRow]:
    """The limits that keep jobs from running now."""
    keys = blocked_keys(MAX_SHOWN_LIMITS)
    placed = Job.objects.filter(place__isnull=False, limit_key__in=keys).order_by()
    taken = dict(placed.values_list("limit_key").annotate(count=Count("pk")))
    rows = []
    for key in keys:
        limit = limit_of(key)
        count = blocked(key).order_by()[:MAX_COUNTED_BLOCKED].count()
        more = "+" if count == MAX_COUNTED_BLOCKED else ""
        words = limit.in_words() if limit else "no longer declared"
        name = key.partition(SEPARATOR)[0]
        rows.append(LimitRow(key, name, words, f"{count:,}{more}", taken.get(key, 0)))
    return rows


def _schedules() -> list[dict[str, Any]]:
    """The schedules, and their next moments."""
    now = services.stats.database_time()
    rows = []
    for schedule in Schedule.objects.all():
        recurrence = find_recurrence(schedule.name)
        declared = recurrence is not None and not schedule.paused
        rows.append(
            {
                "row": schedule,
                "when": str(recurrence or "no longer declared"),
                "next_at": recurrence.next_after(now) if recurrence and declared else None,
            }
        )
    return rows


def _age(moment: datetime) -> float:
    return (services.stats.database_time() - moment).total_seconds()
