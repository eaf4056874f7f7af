"""The rows of periodic jobs."""

from django.db import models


class Schedule(models.Model):
    """The last moment of a periodic job that was taken. It outlives the job's own row.

    The leader writes the row when it first sees the job type. Operators write `paused`.
    """

    # The job type's name.
    name = models.CharField(max_length=100, primary_key=True)
    last_at = models.DateTimeField()
    # Moments that come meanwhile get no job, also later.
    paused = models.BooleanField(default=False)

    class Meta:
        db_table = "offload_schedule"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
