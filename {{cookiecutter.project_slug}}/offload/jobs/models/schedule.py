"""The rows of periodic jobs."""

from django.db import models


class Schedule(models.Model):
    """The last interval for which a periodic job was submitted. It outlives the job's own row."""

    # The job type's name.
    name = models.CharField(max_length=100, primary_key=True)
    # The number of the interval, counted from 1970.
    interval = models.BigIntegerField()

    class Meta:
        db_table = "offload_schedule"

    def __str__(self) -> str:
        return f"{self.name}: {self.interval}"
