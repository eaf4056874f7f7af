"""A caller's `Idempotency-Key`: the same key and the same request give the same job.

A job's row has the key that made it. A unique job may be given for further keys, which have rows
of their own (`KeptKey`).
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from offload.jobs.job_type import JobType
from offload.jobs.models import Job, KeptKey
from offload.problems import Problem

# Characters of an `Idempotency-Key`, as its column has.
MAX_KEY_LENGTH = 255


@dataclass(frozen=True)
class Idempotency:
    """A caller's `Idempotency-Key`, with the SHA-256 of the request that carried it.

    The same key and the same request give the same job.
    """

    key: str
    fingerprint: str

    @classmethod
    def of(cls, request: HttpRequest) -> "Idempotency | None":
        """The request's key; None where it sent none.

        Raises:
            Problem: 400 where the key is empty or longer than 255 characters.
        """
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return None

        if not 0 < len(key) <= MAX_KEY_LENGTH:
            raise Problem(
                400, "Idempotency-Key must have 1 to 255 characters; a UUID is a good one"
            )
        return cls(key, hashlib.sha256(request.body).hexdigest())

    def check(self, job: Job, fingerprint: str) -> Job:
        """The job that was given for this key.

        Args:
            job: that job.
            fingerprint: of the request that used the key first.

        Raises:
            Problem: 422 where the key came with another request.
        """
        if fingerprint != self.fingerprint:
            raise Problem(
                422,
                "this Idempotency-Key was used with another request: send the same body, "
                "or a new key",
            )
        return job


async def repeated(
    job_type: JobType[Any, Any], *, owner: str, idempotency: Idempotency | None
) -> Job | None:
    """The job that this key has already made, so that a view can answer before it does any work.

    Raises:
        Problem: 422 where the key came with another request.
    """
    if idempotency is None:
        return None
    return await sync_to_async(find_repeated)(job_type, owner, idempotency)


def find_repeated(job_type: JobType[Any, Any], owner: str, idempotency: Idempotency) -> Job | None:
    """The job that was given for this key, whichever request had made it; None where none was.

    Raises:
        Problem: 422 where the key came with another request.
    """
    found = Job.objects.filter(
        owner=owner, kind=job_type.name, idempotency_key=idempotency.key
    ).first()
    if found is not None:
        return idempotency.check(found, found.fingerprint)
    return find_kept(job_type, owner, idempotency) if job_type.limits.unique else None


def find_kept(job_type: JobType[Any, Any], owner: str, idempotency: Idempotency) -> Job | None:
    """The unique job that was given for this key, though another request had made it."""
    keys = KeptKey.objects.filter(owner=owner, kind=job_type.name, key=idempotency.key)
    found = keys.select_related("job").first()
    return idempotency.check(found.job, found.fingerprint) if found else None


def keep_key(job: Job, idempotency: Idempotency) -> Job:
    """Remember that this key was answered with a unique job."""
    kept, _ = KeptKey.objects.get_or_create(
        owner=job.owner,
        kind=job.kind,
        key=idempotency.key,
        defaults={"fingerprint": idempotency.fingerprint, "job": job},
    )
    return idempotency.check(kept.job, kept.fingerprint)
