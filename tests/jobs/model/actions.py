"""What may happen in a state: by a worker's process, its supervisor, a caller, the maintenance,
and the clock.

The broker is no actor: an idle process may ask for any job at any time, as if its message had
come, had come twice, or came late.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from offload.jobs import blocked, by_hand, divided, followers, transitions
from offload.jobs import parts as job_parts
from offload.jobs.declare import find_job_type
from offload.jobs.errors import JobError
from offload.jobs.events import EventPublisher
from offload.jobs.maintenance import prune
from offload.jobs.maintenance.rescue_lost import Observation, RescueLost
from offload.jobs.models import Job
from offload.jobs.row_states import due_or_blocked
from offload.problems import Problem

from .rows import OLD_TOKEN, PID, WORKERS, Row, Rows, Table, job_id

RETRY_DELAY_SECONDS = 60.0


class _NoEvents(EventPublisher):
    """Nobody watches."""

    def publish(self, job: Job) -> None:
        pass


_rescuer = RescueLost(Observation(), _NoEvents())
# A follower has the next number. In a real life its id depends on the version, too.
followers._follower_id = lambda ended: job_id(ended.pk.int)


class Process(NamedTuple):
    """What a worker's process has in its memory.

    Args:
        job: the number of the job that it works on.
        knows: `newest` or `old`, of the token that it holds; `asking`: its claim has got no answer.
    """

    job: int
    knows: str


# The process of each worker. None: it is idle.
Processes = tuple[Process | None, ...]


class State(NamedTuple):
    rows: Rows
    processes: Processes


class Action(NamedTuple):
    """Something that may happen.

    Args:
        name: a key of `EFFECTS`, of `CLOCK`, or `die`.
        job: the number of the job.
        worker: the number of the worker.
        knows: the token of the process that acts.
        lost: whether the database's answer is lost, so that the process keeps what it has.
    """

    name: str
    job: int
    worker: int | None = None
    knows: str = "newest"
    lost: bool = False

    def __str__(self) -> str:
        who = "" if self.worker is None else f"worker {self.worker}: "
        token = " with an old token" if self.knows == "old" else ""
        return f"{who}{self.name} job {self.job}{token}{', the answer is lost' * self.lost}"


ENDS = ("succeed", "fail", "retry", "stop", "divide")


def actions_in(state: State, table: Table) -> Iterator[Action]:
    """Everything that may happen in a state."""
    for worker, process in enumerate(state.processes):
        yield from _of_process(state, table, worker, process)
        yield from _of_supervisor(state, worker, process)

    for number, row in enumerate(state.rows):
        if row is None:
            continue
        yield Action("request_cancel", number)
        if row.lease == "past":
            yield Action("rescue", number)
        if row.phase == "parts" and row.status == "running":
            yield Action("settle", number)
        if "past" in (row.due, row.blocked):
            yield Action("give_up", number)
        if row.lease == "future":
            yield Action("the lease ends", number)
        if row.due == "future":
            yield Action("it becomes due", number)
        if row.blocked == "future":
            yield Action("it may become due", number)
        if row.status in by_hand.RETRIABLE:
            yield Action("retry_by_hand", number)
        if row.final and table.family[number].parent is None:
            yield Action("discard", number)

    if any(row and row.blocked == "past" for row in state.rows):
        yield Action("unblock", 0)
    if any(row and row.expires == "past" for row in state.rows):
        yield Action("prune", 0)
    if any(row and row.expires == "future" for row in state.rows):
        yield Action("results expire", 0)


def _of_process(
    state: State, table: Table, worker: int, process: Process | None
) -> Iterator[Action]:
    if process is None:
        for number, row in enumerate(state.rows):
            if row is not None:
                yield Action("claim", number, worker)
                yield Action("claim", number, worker, lost=True)
        return

    yield Action("die", process.job, worker)
    if process.knows == "asking":
        yield Action("claim_again", process.job, worker)
        return

    yield Action("progress", process.job, worker, process.knows)
    row = state.rows[process.job]
    for name in ENDS:
        if process.knows == "old" or _is_possible(name, table.family[process.job].kind, row):
            yield Action(name, process.job, worker, process.knows)
            yield Action(name, process.job, worker, process.knows, lost=True)


def _is_possible(name: str, kind: str, row: Row | None) -> bool:
    """Whether a process may end its job so; it holds the newest token."""
    if row is None:
        return False
    divides = find_job_type(kind).part is not None and row.phase == ""
    match name:
        case "succeed":
            return not divides
        case "divide":
            return divides
        case "retry":
            return row.attempts < 2
        case "stop":
            return row.asked
    return True


def _of_supervisor(state: State, worker: int, process: Process | None) -> Iterator[Action]:
    """What a worker's main process does with the rows that its worker holds."""
    for number, row in enumerate(state.rows):
        if row is None or row.worker != worker or row.final:
            continue
        if process is not None and process.job == number and process.knows != "old":
            if row.lease == "past":
                yield Action("renew", number, worker)
        else:
            yield Action("hand_back", number, worker)
            yield Action("reclaim", number, worker)
            if row.asked:
                # It has read the row before the cancel.
                yield Action("reclaim_unasked", number, worker)


# --- what the database makes of it: the real transitions ---


def _claim(table: Table, job: Job, worker: int) -> Job | None:
    return transitions.claim(job.pk, WORKERS[worker], PID)


def _claim_again(table: Table, job: Job, worker: int) -> Job | None:
    """As `executor._claim` does after an answer was lost."""
    mine = Job.objects.filter(pk=job.pk, worker=WORKERS[worker], pid=PID, status="running")
    return mine.first() or transitions.claim(job.pk, WORKERS[worker], PID)


def _succeed(table: Table, job: Job, worker: int) -> Job | None:
    job_type = find_job_type(job.kind)
    if job.token == OLD_TOKEN:
        return transitions.succeed(job, {"value": -1}, "")
    if job_type.part is None:
        return transitions.succeed(job, {"value": 1}, "")
    try:
        parts: Any = job_parts.part_results(job_type, job)
    except JobError as error:
        return transitions.fail(job, str(error))
    return transitions.succeed(job, {"value": sum(part.value for part in parts)}, "")


def _divide(table: Table, job: Job, worker: int) -> Job | None:
    job_type = find_job_type(job.kind)
    if job_type.part is None:
        return None
    parts = job_parts.make_parts(job_type, job, job_type.params())
    numbers = [n for n, m in enumerate(table.family) if m.parent == job.pk.int - 1]
    for number, part in zip(numbers, parts, strict=True):
        part.pk = part.id = job_id(number)
    return transitions.divide(job, parts, failed_parts_allowed=0)


def _renew(table: Table, job: Job, worker: int) -> None:
    transitions.renew(WORKERS[worker], [job.pk])


def _reclaim_unasked(table: Table, job: Job, worker: int) -> Job | None:
    job.cancel_requested_at = None
    return transitions.reclaim(job, "its process is gone")


def _rescue(table: Table, job: Job, worker: int) -> None:
    _rescuer._rescue(job.pk, job.parent_id, "worker lost")


def _unblock(table: Table, job: Job, worker: int) -> None:
    blocked.unblock(str(job.limit_key), wait=False)


def _by_hand(act: Callable[[Any, str], Any]) -> "Effect":
    def effect(table: Table, job: Job, worker: int) -> Any:
        try:
            return act(job.pk, "somebody")
        except Problem:
            return None

    return effect


Effect = Callable[[Table, Job, Any], Any]
EFFECTS: dict[str, Effect] = {
    "claim": _claim,
    "claim_again": _claim_again,
    "progress": lambda table, job, worker: transitions.progress(job, 0.5, ""),
    "succeed": _succeed,
    "fail": lambda table, job, worker: transitions.fail(job, "ValueError"),
    "retry": lambda table, job, worker: transitions.retry(job, "again", RETRY_DELAY_SECONDS),
    "stop": lambda table, job, worker: transitions.stop(job),
    "divide": _divide,
    "renew": _renew,
    "hand_back": lambda table, job, worker: transitions.hand_back(job),
    "reclaim": lambda table, job, worker: transitions.reclaim(job, "its process is gone"),
    "reclaim_unasked": _reclaim_unasked,
    "request_cancel": lambda table, job, worker: transitions.request_cancel(job.pk),
    "rescue": _rescue,
    "settle": lambda table, job, worker: divided.settle(job.pk),
    "give_up": lambda table, job, worker: transitions.give_up(
        job.pk, "nobody knows its type", due_or_blocked()
    ),
    "prune": lambda table, job, worker: prune._delete_batch(),
    "unblock": _unblock,
    "retry_by_hand": _by_hand(by_hand.retry),
    "discard": _by_hand(by_hand.discard),
}
# What the clock does to the rows.
CLOCK: dict[str, tuple[str, bool]] = {
    "the lease ends": ("lease", False),
    "it becomes due": ("due", False),
    "it may become due": ("blocked", False),
    "results expire": ("expires", True),
}


def pass_time(rows: Rows, action: Action) -> Rows:
    """The rows after a time has passed: of one job, or of all."""
    column, of_all = CLOCK[action.name]
    return tuple(
        row._replace(**{column: "past"})
        if row is not None and (of_all or number == action.job) and getattr(row, column) == "future"
        else row
        for number, row in enumerate(rows)
    )
