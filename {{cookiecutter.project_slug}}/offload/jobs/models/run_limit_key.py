"""The rows of the keys of limits."""

from django.db import models
from django.db.models.functions import Now


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
