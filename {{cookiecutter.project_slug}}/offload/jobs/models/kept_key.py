"""The rows of idempotency keys that a unique job of another request answers."""

from django.db import models

from offload.jobs.models.job import Job


class KeptKey(models.Model):
    """An idempotency key that was answered with a unique job of another request.

    The key is kept for as long as that job's row, so that the same request gets the same job after
    its end, too. The key of the request that made a job is in the job's own row.
    """

    owner = models.CharField(max_length=150)
    # The job type's name.
    kind = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    # The SHA-256 of the request that used the key.
    fingerprint = models.CharField(max_length=64)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="kept_keys")

    class Meta:
        db_table = "offload_job_kept_key"
        constraints = (
            models.UniqueConstraint(
                fields=("owner", "kind", "key"), name="offload_job_kept_key_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} of {self.owner}"
