"""`Idempotency-Key`: the same key and the same request give the same job."""

import hashlib
from dataclasses import dataclass

from django.http import HttpRequest

from offload.jobs.models import Job
from offload.problems import Problem

MAX_KEY_LENGTH = 255


@dataclass(frozen=True)
class Idempotency:
    """A caller's key, with the SHA-256 of the request that carried it."""

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

    def check(self, job: Job) -> Job:
        """The job that was submitted with this key.

        Raises:
            Problem: 422 where the key came with another request.
        """
        if job.fingerprint != self.fingerprint:
            raise Problem(
                422,
                "this Idempotency-Key was used with another request: send the same body, "
                "or a new key",
            )
        return job
