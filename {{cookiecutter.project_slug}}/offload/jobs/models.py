"""The rows that are the truth about jobs; the broker only rings."""

import uuid
from typing import Any

from django.db import models
from django.db.models.functions import Now


class Status(models.TextChoices):
    """A job's states; `docs/reference/jobs.md` draws the machine."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(models.TextChoices):
    """Where a divided job stands; the others stay at `WHOLE`."""

    WHOLE = ""
    # Waits for its parts, and holds neither a worker nor a lease.
    PARTS = "parts"
    # All parts have succeeded: due again, to be put together.
    JOIN = "join"


FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Job(models.Model):
    """One accepted piece of computing. Every write goes through `transitions.py`, fenced by
    `token`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=50)
    owner = models.CharField(max_length=150)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="parts")
    # Of a part, from 1.
    number = models.PositiveIntegerField(default=0)
    phase = models.CharField(max_length=5, choices=Phase, default=Phase.WHOLE, blank=True)
    params = models.JSONField()
    result = models.JSONField(null=True)
    # A large result's name in file storage.
    result_file = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    # 0 to 1.
    progress = models.FloatField(default=0.0)
    message = models.CharField(max_length=200, blank=True)

    # Counts starts that were not handed back.
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField()
    # Fencing token: grows at every claim and hand-back, never reused.
    token = models.BigIntegerField(default=0)
    # Grows at every change a watcher may see; the id of its event.
    version = models.BigIntegerField(default=0)
    # The worker that holds the lease.
    worker = models.UUIDField(null=True)
    # Its process that computes.
    pid = models.IntegerField(null=True)
    lease_until = models.DateTimeField(null=True)
    # A retry waits, queued, until then.
    not_before = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)

    # NULLs are distinct in a constraint.
    idempotency_key = models.CharField(max_length=255, null=True)
    # SHA-256 of the request that used the key.
    fingerprint = models.CharField(max_length=64, blank=True)
    # One unfinished job for each.
    unique_key = models.CharField(max_length=64, null=True)
    # Ties the worker's log lines to the request's.
    request_id = models.CharField(max_length=100, blank=True)

    # All times are the database's: hosts' clocks differ.
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "offload_job"
        ordering = ("-created_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("owner", "kind", "idempotency_key"), name="offload_job_idempotency"
            ),
            models.UniqueConstraint(
                fields=("unique_key",),
                condition=models.Q(status__in=("queued", "running")),
                name="offload_job_unique",
            ),
        )
        indexes = (
            models.Index(fields=("owner", "-created_at"), name="offload_job_owner"),
            models.Index(fields=("status", "queue", "created_at"), name="offload_job_queue"),
            models.Index(fields=("expires_at",), name="offload_job_expiry"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.status})"

    @property
    def final(self) -> bool:
        """Whether the job has ended and will never change again."""
        return self.status in FINAL

    def facts(self) -> dict[str, Any]:
        """What every log line about it carries as `extra`, so that one id finds the request, the
        job and its parts.
        """
        part = {"parent_id": str(self.parent_id)} if self.parent_id else {}
        ids = {"job_id": str(self.pk), "kind": self.kind, "request_id": self.request_id}
        return {**ids, **part, "attempt": self.attempts}

    def snapshot(self) -> dict[str, Any]:
        """What watchers are told of a change: small, and without parameters or result."""
        return {
            "id": str(self.id),
            "version": self.version,
            "status": self.status,
            "progress": round(self.progress, 4),
            "message": self.message,
        }


class Worker(models.Model):
    """A worker's sign of life: its main process writes one row and keeps `seen_at` fresh."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=200)
    queues = models.JSONField()
    # Pool processes.
    slots = models.PositiveSmallIntegerField()
    busy = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "offload_worker"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Leader(models.Model):
    """Who sweeps: one relay at a time, by a lease that the others watch."""

    name = models.CharField(max_length=50, primary_key=True)
    holder = models.UUIDField()
    until = models.DateTimeField()

    class Meta:
        db_table = "offload_leader"

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
