"""Rows that stand beside those of jobs: further idempotency keys, files, keys of limits."""

from django.db import models
from django.db.models.functions import Now

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


class ResultFile(models.Model):
    """A file in file storage. Its row is written before the file, so that no file is forgotten.

    An attempt that lost its lease leaves a file, too. All files of a job are deleted after its row.
    """

    name = models.CharField(max_length=255, primary_key=True)
    # NULL: the job's row has been deleted, and the file is to be deleted.
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="files")

    class Meta:
        db_table = "offload_result_file"

    def __str__(self) -> str:
        return self.name


class RunLimitKey(models.Model):
    """A key of a `RunLimit`. Who unblocks jobs of the key locks its row."""

    key = models.CharField(max_length=255, primary_key=True)
    # The rate allows the next start from this time on. NULL: now.
    next_start_at = models.DateTimeField(null=True)
    # The highest rank of a job that was unblocked. New jobs come after it.
    rank = models.BigIntegerField(default=0)
    # When a job of the key was last unblocked.
    used_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "offload_run_limit_key"

    def __str__(self) -> str:
        return self.key


class Operations(Job):
    """What Django's admin lists as "Operations": its index links to a page for each model.

    It has no rows of its own. Who may see it is asked of `Job`.
    """

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name_plural = "operations"
