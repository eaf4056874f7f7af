"""The rows of the whole service: workers, the leader, schedules and pauses."""

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


class Pause(models.Model):
    """A queue, or a job type, of which no job is begun. Running jobs go on.

    The row is the pause: whoever deletes it resumes the jobs.
    """

    # One of the two is empty.
    queue = models.CharField(max_length=50, blank=True)
    # The job type's name.
    kind = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    # The user of the admin, or of the host's shell.
    paused_by = models.CharField(max_length=150)
    paused_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "offload_pause"
        constraints = (
            models.UniqueConstraint(fields=("queue", "kind"), name="offload_pause_once"),
            models.CheckConstraint(
                condition=models.Q(queue="") ^ models.Q(kind=""),
                name="offload_pause_one_target",
                violation_error_message="Name a queue or a job type, and not both.",
            ),
        )

    def __str__(self) -> str:
        return f"the queue {self.queue}" if self.queue else f"the job type {self.kind}"
