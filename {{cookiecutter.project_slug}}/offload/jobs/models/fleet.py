"""The rows of running processes: the workers, and the one that does the maintenance."""

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """One running worker. Its main process writes the row and renews `seen_at`."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=200)
    # None any more once it was told to stop.
    queues = models.JSONField()
    # The number of its processes that compute.
    slots = models.PositiveSmallIntegerField()
    busy = models.PositiveSmallIntegerField(default=0)
    # The names of the job types that it can compute.
    kinds = models.JSONField(default=list)
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "offload_worker"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Leader(models.Model):
    """The process that does the maintenance: one at a time, by a lease."""

    name = models.CharField(max_length=50, primary_key=True)
    holder = models.UUIDField()
    until = models.DateTimeField()
    # Whether the holder's own connection to the broker works. Where it does not, a process whose
    # connection works takes the lead over.
    reaches_broker = models.BooleanField(default=True)
    # The queues' statistics, which the leader reads for all processes, and when it read them.
    stats = models.JSONField(default=dict)
    stats_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "offload_leader"

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
