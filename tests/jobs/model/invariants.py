"""The invariants of `docs/reference/jobs.md`, by their numbers there.

An invariant of a state is asked of every state, one of a change of every change of the rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from offload.jobs.models import FINAL

from .actions import Action, Processes
from .job_types import AT_ONCE, MAX_ATTEMPTS
from .rows import Columns, Member, Row, Rows


@dataclass(frozen=True)
class Change:
    """One change of the rows, with all their columns.

    Args:
        before: the jobs by their numbers; None: no such row.
        after: the same.
    """

    action: Action
    family: tuple[Member, ...]
    before: list[Columns | None]
    after: list[Columns | None]

    def pairs(self) -> Iterator[tuple[Columns, Columns]]:
        """The rows that were there before and are there afterwards."""
        for old, new in zip(self.before, self.after, strict=True):
            if old is not None and new is not None:
                yield old, new


# What watchers and callers see of a job, and what decides about its future.
SEEN = ("status", "progress", "message", "result", "error", "cancel_requested_at")
COLUMNS = (*SEEN, "phase", "attempts", "token", "version", "worker", "lease_until", "due_at")


def changed(old: Columns, new: Columns, columns: tuple[str, ...] = COLUMNS) -> bool:
    """Whether one of these columns is another."""
    return any(getattr(old, name) != getattr(new, name) for name in columns)


# --- of a change ---


def ended_stays_ended(change: Change) -> bool:
    if change.action.name == "retry_by_hand":
        return True
    return not any(old.status in FINAL and changed(old, new) for old, new in change.pairs())


def old_tokens_change_nothing(change: Change) -> bool:
    if change.action.knows != "old":
        return True
    return not any(changed(old, new) for old, new in change.pairs())


def tokens_grow(change: Change) -> bool:
    """A token never falls; who gets or loses a job changes it."""
    return all(
        new.token > old.token if _changes_hands(old, new) else new.token >= old.token
        for old, new in change.pairs()
    )


def _changes_hands(old: Columns, new: Columns) -> bool:
    """Whether a worker has got the job, or the job has left its worker and goes on."""
    if new.status in FINAL or old.status in FINAL:
        return False
    return old.worker != new.worker or (old.status, new.status) == ("running", "queued")


def claims_only_what_is_due(change: Change) -> bool:
    return all(
        _is_past(old)
        for old, new in change.pairs()
        if old.worker is None and new.worker is not None
    )


def _is_past(job: Columns) -> bool:
    return job.due_at is not None and job.due_at.year == 2000


def attempts_are_counted(change: Change) -> bool:
    """One more at a claim of a queued job, one less at a hand-back."""
    return all(
        new.attempts - old.attempts == _added(change, old, new) for old, new in change.pairs()
    )


def _is_retried(change: Change, old: Columns, new: Columns) -> bool:
    """Whether the job begins anew, because somebody asked for it."""
    return change.action.name == "retry_by_hand" and bool(old.token != new.token)


def _added(change: Change, old: Columns, new: Columns) -> int:
    if old.worker is None and new.worker is not None:
        return int(old.status == "queued")
    if _is_retried(change, old, new):
        return int(new.phase == "parts" and new.status == "running") - int(old.attempts)
    handed_back = change.action.name == "hand_back" and new.status == "queued" != old.status
    return -1 if handed_back else 0


def a_crash_fails_only_the_last_attempt(change: Change) -> bool:
    if change.action.name not in ("reclaim", "reclaim_unasked", "rescue"):
        return True
    job = change.action.job
    old, new = change.before[job], change.after[job]
    if old is None or new is None or new.status != "failed":
        return True
    return old.attempts == MAX_ATTEMPTS


def cancels_are_kept(change: Change) -> bool:
    """A job that was asked to stop stays asked, and is not begun or divided any more."""
    return all(
        new.cancel_requested_at is not None and new.token == old.token and new.status != "queued"
        for old, new in change.pairs()
        if old.cancel_requested_at is not None and not _is_retried(change, old, new)
    )


def a_cancel_is_taken(change: Change) -> bool:
    """Who asks an unfinished job to stop finds it asked."""
    if change.action.name != "request_cancel":
        return True
    new = change.after[change.action.job]
    return new is None or new.status in FINAL or new.cancel_requested_at is not None


def parts_go_with_their_whole(change: Change) -> bool:
    return not any(
        change.after[number] is None
        and change.before[number] is not None
        and member.parent is not None
        and change.after[member.parent] is not None
        for number, member in enumerate(change.family)
    )


def a_follower_comes_with_the_success(change: Change) -> bool:
    """Its row is inserted with the success of the job before, and at no other time."""
    for number, member in enumerate(change.family):
        if member.after is None:
            continue
        old, new = change.before[member.after], change.after[member.after]
        succeeds = old is not None and new is not None and old.status != "succeeded"
        succeeds = succeeds and new is not None and new.status == "succeeded"
        inserted = change.before[number] is None and change.after[number] is not None
        if succeeds != inserted:
            return False
    return True


def versions_grow(change: Change) -> bool:
    return all(
        new.version > old.version if changed(old, new, SEEN) else new.version >= old.version
        for old, new in change.pairs()
    )


# --- of a state ---


def one_holder(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    held = [process.job for process in processes if process and process.knows == "newest"]
    return len(held) == len(set(held))


def running_is_moved(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    """A running job is held with a lease, or is due, or waits for a part that has not ended."""
    for number, row in enumerate(rows):
        if row is None or row.status != "running":
            continue
        held = row.worker is not None and row.lease is not None and row.due is None
        free = row.worker is None and row.lease is None
        due = row.phase == "join" and free and (row.due is not None or row.blocked is not None)
        waits = row.phase == "parts" and row.worker is None and row.due is None
        unfinished = any(not part.final for part in _parts(number, rows, family))
        if not (held or due or (waits and unfinished)):
            return False
    return True


def queued_is_due(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    return all(
        (row.due is None) != (row.blocked is None)
        and row.worker is None
        and row.lease is None
        and not row.asked
        for row in rows
        if row is not None and row.status == "queued"
    )


def ended_is_released(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    return all(
        (row.due, row.blocked, row.worker, row.lease) == (None,) * 4 and row.expires is not None
        for row in rows
        if row is not None and row.final
    )


def attempts_are_bounded(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    return all(0 <= row.attempts <= MAX_ATTEMPTS for row in rows if row is not None)


def cancelled_was_asked(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    return all(row.asked for row in rows if row is not None and row.status == "cancelled")


def all_parts_are_there(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    """A divided job has all its parts, and is put together only of parts that succeeded."""
    for number, row in enumerate(rows):
        if row is None or row.phase == "":
            continue
        parts = _parts(number, rows, family)
        expected = sum(member.parent == number for member in family)
        if not len(parts) == row.parts_count == expected:
            return False
        together = row.phase == "join" or row.status == "succeeded"
        if together and any(part.status != "succeeded" for part in parts):
            return False
    return True


def a_failed_part_fails_its_whole(
    rows: Rows, processes: Processes, family: tuple[Member, ...]
) -> bool:
    return not any(
        part.status in ("failed", "cancelled")
        for number, row in enumerate(rows)
        if row is not None and row.status == "running" and row.phase == "parts"
        for part in _parts(number, rows, family)
    )


def parts_end_with_their_whole(
    rows: Rows, processes: Processes, family: tuple[Member, ...]
) -> bool:
    """Where a whole has ended, none of its parts waits, and those that run were asked to stop."""
    return all(
        part.final or (part.status == "running" and part.asked and part.worker is not None)
        for number, row in enumerate(rows)
        if row is not None and row.final
        for part in _parts(number, rows, family)
    )


def results_are_right(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    return all(
        row.value == (_leaves(number, family) if row.status == "succeeded" else None)
        for number, row in enumerate(rows)
        if row is not None
    )


def a_limit_holds(rows: Rows, processes: Processes, family: tuple[Member, ...]) -> bool:
    """A limited job that is due or runs has a place of its own; no other job has one."""
    places = []
    for row, member in zip(rows, family, strict=True):
        if row is None:
            continue
        takes_one = member.kind == "limited" and (row.due is not None or row.worker is not None)
        if takes_one != (row.place is not None):
            return False
        places += [row.place] if takes_one else []
    return sorted(places) == list(range(AT_ONCE))[: len(places)]


def _parts(number: int, rows: Rows, family: tuple[Member, ...]) -> list[Row]:
    parts = (rows[n] for n, member in enumerate(family) if member.parent == number)
    return [part for part in parts if part is not None]


def _leaves(number: int, family: tuple[Member, ...]) -> int:
    """How many undivided jobs a job consists of: the model's right result."""
    parts = [n for n, member in enumerate(family) if member.parent == number]
    return sum(_leaves(part, family) for part in parts) if parts else 1


# The numbers are those of the list in docs/reference/jobs.md. 17 is asked of the whole graph.
OF_CHANGES: list[tuple[int, Callable[[Change], bool]]] = [
    (1, ended_stays_ended),
    (2, old_tokens_change_nothing),
    (3, tokens_grow),
    (7, claims_only_what_is_due),
    (8, attempts_are_counted),
    (8, a_crash_fails_only_the_last_attempt),
    (9, cancels_are_kept),
    (9, a_cancel_is_taken),
    (14, parts_go_with_their_whole),
    (15, versions_grow),
    (19, a_follower_comes_with_the_success),
]
OF_STATES: list[tuple[int, Callable[[Rows, Processes, tuple[Member, ...]], bool]]] = [
    (3, one_holder),
    (4, running_is_moved),
    (5, queued_is_due),
    (6, ended_is_released),
    (8, attempts_are_bounded),
    (10, cancelled_was_asked),
    (11, all_parts_are_there),
    (12, a_failed_part_fails_its_whole),
    (13, parts_end_with_their_whole),
    (16, results_are_right),
    (18, a_limit_holds),
]
# From every state, workers, the maintenance and the clock bring every job to an end.
EVERY_JOB_CAN_END = 17
