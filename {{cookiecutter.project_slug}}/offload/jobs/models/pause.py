"""The rows of pauses."""

from django.db import models
from django.db.models.functions import Now


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
