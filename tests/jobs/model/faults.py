"""Planted faults: one for each invariant, to see that the explorer finds it and names its number.

Each fault takes one line or one condition from the real code.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

import offload.jobs.fenced_update as updates
from offload.jobs import blocked, divided, parts, transitions
from offload.jobs.fenced_update import fenced_update
from offload.jobs.maintenance import prune
from offload.jobs.models import Job, Status
from offload.jobs.row_states import held

from .explorer import Broken, Explorer

DEPTH = 5
Fault = Callable[[], AbstractContextManager[Any]]


def _replaced(module: Any, name: str, value: Any) -> Fault:
    return lambda: patch.object(module, name, value)


def _without(column: str) -> Fault:
    """An UPDATE that forgets a column."""

    def update(where: Q, job_id: UUID, **values: Any) -> Job | None:
        return fenced_update(where, job_id, **{k: v for k, v in values.items() if k != column})

    return _replaced_everywhere(update)


def _replaced_everywhere(update: Any) -> Fault:
    """Another `fenced_update`: for what ends a job, and for what does not."""

    @contextmanager
    def plant() -> Iterator[None]:
        with (
            patch.object(divided, "fenced_update", update),
            patch.object(updates, "fenced_update", update),
        ):
            yield

    return plant


def _without_version(where: Q, job_id: UUID, **values: Any) -> Job | None:
    changed = Job.objects.filter(where, pk=job_id).update(**values)
    return Job.objects.get(pk=job_id) if changed else None


_update_parent, _requeue = divided._update_parent, transitions._requeue
_end_columns = divided.end_columns
_part_results, _claim, _bulk_create = (
    parts.part_results,
    transitions.claim,
    type(Job.objects).bulk_create,
)


def _tell_of_failures_alone(part: Job, parent: Job) -> None:
    if part.status != Status.SUCCEEDED:
        _update_parent(part, parent)


def _tell_of_successes_alone(part: Job, parent: Job) -> None:
    if part.status == Status.SUCCEEDED:
        _update_parent(part, parent)


def _still_due(status: Status) -> dict[str, Any]:
    return {name: value for name, value in _end_columns(status).items() if name != "due_at"}


def _requeue_at_a_price(job: Job, *more: Any, **values: Any) -> Job | None:
    return _requeue(
        job, *more, **{name: value for name, value in values.items() if name != "attempts"}
    )


def _cancel_unasked(job: Job, parent: Job | None) -> Job:
    row = fenced_update(Q(), job.pk, **_end_columns(Status.CANCELLED))
    assert row is not None
    return row


def _delete_expired() -> int:
    # Those that are no divided jobs, because of the foreign key.
    expired = Job.objects.filter(expires_at__lt=Now(), parts_count=0)
    return expired.delete()[0]


def _claim_once(job_id: UUID, worker: UUID, pid: int) -> Job | None:
    if Job.objects.filter(pk=job_id, attempts=0).exists():
        return _claim(job_id, worker, pid)
    return None


# The invariant's number, the family, the fault.
FAULTS: list[tuple[int, str, Fault]] = [
    (1, "plain", _replaced(transitions, "held", lambda token: Q(token=token))),
    (2, "plain", _replaced(transitions, "held", lambda token: Q(status=Status.RUNNING))),
    (3, "plain", _without("token")),
    (4, "divided", _replaced(divided, "_update_parent", _tell_of_failures_alone)),
    (5, "plain", _replaced(transitions, "due_again", lambda job, due_at: {})),
    (6, "plain", _replaced(divided, "end_columns", _still_due)),
    (7, "plain", _replaced(transitions, "due", lambda: Q(status=Status.QUEUED))),
    (8, "plain", _replaced(transitions, "_requeue", _requeue_at_a_price)),
    (9, "plain", _replaced(transitions, "held_and_wanted", held)),
    (10, "plain", _replaced(divided, "_cancel", _cancel_unasked)),
    (
        11,
        "divided",
        lambda: patch.object(
            type(Job.objects),
            "bulk_create",
            lambda manager, parts, **options: _bulk_create(manager, parts[:-1], **options),
        ),
    ),
    (12, "divided", _replaced(divided, "_update_parent", _tell_of_successes_alone)),
    (13, "divided", _replaced(divided, "_cancel_parts", lambda job_id: None)),
    (14, "divided", _replaced(prune, "_delete_batch", _delete_expired)),
    (15, "plain", _replaced_everywhere(_without_version)),
    (16, "divided", _replaced(parts, "part_results", lambda *job: _part_results(*job)[:-1])),
    (17, "plain", _replaced(transitions, "claim", _claim_once)),
    (18, "limited", _replaced(blocked, "_room", lambda limit, taken, state: (100, None))),
    (19, "chain", _replaced(divided, "insert_followers", lambda ended: None)),
]


def find_all() -> list[str]:
    """Plant each fault alone. Returns a sentence for each that was not found by its number."""
    missed = []
    for number, family, fault in FAULTS:
        found = _explore(family, None if number == 17 else DEPTH, fault)
        if found is None or found.number != number:
            missed.append(f"the fault planted for invariant {number} was not found: {found}")
    return missed


def _explore(family: str, depth: int | None, fault: Fault) -> Broken | None:
    with fault():
        try:
            Explorer(family, depth).explore()
        except Broken as broken:
            return broken
    return None
