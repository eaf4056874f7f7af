"""The states and phases of a job."""

from django.db import models


class Status(models.TextChoices):
    """A job's states; `transitions.py` draws the machine."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(models.TextChoices):
    """The phase of a divided job; other jobs stay at `WHOLE`. See `divided.py`."""

    WHOLE = ""
    # The job waits for its parts. It holds neither a worker nor a lease.
    PARTS = "parts"
    # All parts have succeeded. The job is due again, and its function combines the results.
    JOIN = "join"


FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
