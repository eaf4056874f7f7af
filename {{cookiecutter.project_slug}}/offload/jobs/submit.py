"""Accepting jobs: validate, admit, one INSERT, wake the relay. Nothing here talks to the broker."""

import hashlib
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from pydantic import BaseModel

from offload.conf import conf
from offload.jobs import events, relay, transitions
from offload.jobs.kinds import JobKind
from offload.jobs.models import FINAL, Job
from offload.jobs.rows import new_row
from offload.problems import Problem
from offload.serving.middleware import request_id as current_request_id

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class IdempotencyKey:
    """A caller's `Idempotency-Key` with the SHA-256 of the request it came with."""

    key: str
    fingerprint: str

    @classmethod
    def of(cls, request: HttpRequest) -> "IdempotencyKey | None":
        """The request's key, or None where it sent none.

        Raises:
            Problem: 400 where the key is empty or longer than 255 characters.
        """
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return None
        if not 0 < len(key) <= 255:
            raise Problem(
                400, "Idempotency-Key must have 1 to 255 characters; a UUID is a good one"
            )
        return cls(key, hashlib.sha256(request.body).hexdigest())


async def submit(
    kind: JobKind[P, R],
    params: P,
    *,
    owner: str,
    idempotency: IdempotencyKey | None = None,
    request_id: str = "",
) -> Job:
    """Accept a job: when this returns it is safe in the database, and it will run whatever dies
    meanwhile.

    Args:
        kind: what `@job` returned.
        params: its parameters, an instance of its model.
        owner: who may see it.
        idempotency: the same key and request give the same job again.
        request_id: carried to the worker's log lines; the request's own unless told.

    Raises:
        Problem: 503 with `Retry-After` where the queue is too deep or too old; 422 where the key
            came with another request.
        ParamsTooLarge: the parameters are over `conf().params_limit` bytes.
        ParamsUnfit: a worker could not read them back.
    """
    admit(kind.queue)
    return await sync_to_async(_insert)(
        kind, params, owner, idempotency, request_id or current_request_id.get()
    )


def submit_sync(kind: JobKind[P, R], params: P, *, owner: str, request_id: str = "") -> Job:
    """The same from sync code. Inside `transaction.atomic()` the ring waits for the commit."""
    admit(kind.queue)
    return _insert(kind, params, owner, None, request_id)


async def submit_many(kind: JobKind[P, R], params: Iterable[P], *, owner: str) -> list[Job]:
    """Accept a batch in one INSERT: all of it or nothing. Raises as `submit` does."""
    admit(kind.queue)
    rows = [new_row(kind, each, owner) for each in params]

    def insert() -> list[Job]:
        Job.objects.bulk_create(rows)
        relay.ring(rows)
        return rows

    return await sync_to_async(insert)()


async def repeated(
    kind: JobKind[P, R], *, owner: str, idempotency: IdempotencyKey | None
) -> Job | None:
    """The job this key has already made, for a view to answer before it does any work.

    Raises:
        Problem: 422 where the key came with another request.
    """
    if idempotency is None:
        return None
    found = await Job.objects.filter(
        owner=owner, kind=kind.kind, idempotency_key=idempotency.key
    ).afirst()
    return _same(found, idempotency) if found else None


def admit(queue: str) -> None:
    """Refuse work that would wait too long, from figures at most a second old.

    Raises:
        Problem: 503, with a `Retry-After` from the drain rate (AWS Builders' Library, "Avoiding
            insurmountable queue backlogs": shed early, by age).
    """
    running = relay.current()
    figures = running.figures.queues.get(queue) if running else None
    if figures is None or (figures.depth < conf().queue_depth and figures.age < conf().queue_age):
        return
    excess = max(figures.depth - conf().queue_depth, 0) + 1
    wait = min(max(excess / figures.drain if figures.drain else 60.0, 1.0), 60.0)
    # Spreads the callers.
    retry_after = math.ceil(wait * random.uniform(1.0, 1.2))
    raise Problem(
        503,
        f"the queue {queue!r} holds {figures.depth} jobs, the oldest for {figures.age:.0f} s: "
        f"try again in {retry_after} s",
        headers={"Retry-After": str(retry_after)},
    )


async def cancel(job: Job) -> Job:
    """Ask a job to stop; a queued one is cancelled at once. Asking again changes nothing."""

    def ask() -> Job:
        row = transitions.request_cancel(job.pk, conf().result_lifetime)
        events.publish(row)
        return row

    return await sync_to_async(ask)()


def _insert(
    kind: JobKind[P, R], params: P, owner: str, idempotency: IdempotencyKey | None, request_id: str
) -> Job:
    job = new_row(kind, params, owner, request_id=request_id)
    if idempotency is not None:
        job.idempotency_key, job.fingerprint = idempotency.key, idempotency.fingerprint
    try:
        with transaction.atomic():
            job.save(force_insert=True)
    except IntegrityError:
        return _earlier(job, idempotency)
    job.refresh_from_db(fields=["created_at"])
    relay.ring([job])
    return job


def _earlier(job: Job, idempotency: IdempotencyKey | None) -> Job:
    """The row that stood in the way of an INSERT: the key's, or the unfinished one with the same
    parameters.
    """
    if idempotency is not None:
        keyed = Job.objects.filter(
            owner=job.owner, kind=job.kind, idempotency_key=idempotency.key
        ).first()
        if keyed is not None:
            return _same(keyed, idempotency)
    if job.unique_key is not None:
        unfinished = Job.objects.filter(unique_key=job.unique_key).exclude(status__in=FINAL).first()
        if unfinished is not None:
            return unfinished
    # What stood in the way has just ended.
    job.save(force_insert=True)
    relay.ring([job])
    return job


def _same(job: Job, idempotency: IdempotencyKey) -> Job:
    if job.fingerprint != idempotency.fingerprint:
        raise Problem(
            422,
            "this Idempotency-Key was used with another request: send the same body, or a new key",
        )
    return job


async def find(job_id: UUID, owner: str) -> Job:
    """An owner's job.

    Raises:
        Problem: 404 where there is none, or it is somebody else's (which nobody should learn).
    """
    found = await Job.objects.filter(pk=job_id, owner=owner).afirst()
    if found is None:
        raise Problem(404, f"no job {job_id}: it never was, it has expired, or it is not yours")
    return found
