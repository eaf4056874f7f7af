"""What the database keeps about the rows of jobs: constraints, and indexes for what is asked."""

from django.db import models

CONSTRAINTS = (
    models.UniqueConstraint(
        fields=("owner", "kind", "idempotency_key"),
        condition=models.Q(idempotency_key__isnull=False),
        name="offload_job_idempotency",
    ),
    models.UniqueConstraint(
        fields=("unique_key",),
        condition=models.Q(status__in=("queued", "running")),
        name="offload_job_unique",
    ),
    # It keeps a limit, whatever processes do at the same time.
    models.UniqueConstraint(
        fields=("limit_key", "place"),
        condition=models.Q(place__isnull=False),
        name="offload_job_place",
    ),
)
# All but the first hold a small share of the rows: those in a state that the maintenance
# or a supervisor asks for. Each condition is an IS NULL, which SQLite and PostgreSQL
# recognise in a query; a comparison with a parameter would keep SQLite from the index.
INDEXES = (
    # An owner's list, which has the jobs that are no part: their number is 0.
    models.Index(fields=("owner", "number", "-created_at", "-id"), name="offload_job_listed"),
    # Waiting jobs. The statistics read nothing else.
    models.Index(
        fields=("queue", "published_at", "due_at", "kind", "number", "owner"),
        condition=models.Q(due_at__isnull=False),
        name="offload_job_waiting",
    ),
    # Jobs that a worker holds.
    models.Index(
        fields=("worker",),
        condition=models.Q(worker__isnull=False),
        name="offload_job_held",
    ),
    # Blocked jobs of a key in their order, and the last one of an owner.
    models.Index(
        fields=("limit_key", "rank", "unblock_at"),
        condition=models.Q(unblock_at__isnull=False),
        name="offload_job_blocked",
    ),
    models.Index(
        fields=("limit_key", "owner", "priority", "rank"),
        condition=models.Q(unblock_at__isnull=False),
        name="offload_job_owner_blocked",
    ),
    # Divided jobs that wait for their parts: unfinished, neither held nor due nor blocked.
    models.Index(
        fields=("started_at",),
        condition=models.Q(
            worker__isnull=True,
            due_at__isnull=True,
            unblock_at__isnull=True,
            finished_at__isnull=True,
        ),
        name="offload_job_divided",
    ),
    # Finished jobs, for the drain rate.
    models.Index(
        fields=("finished_at", "queue"),
        condition=models.Q(finished_at__isnull=False),
        name="offload_job_finished",
    ),
    # Finished jobs that are deleted by themselves; parts are deleted with their parent.
    models.Index(
        fields=("expires_at",),
        condition=models.Q(expires_at__isnull=False, parent__isnull=True),
        name="offload_job_expiry",
    ),
    # Parts, in their order.
    models.Index(
        fields=("parent", "number"),
        condition=models.Q(parent__isnull=False),
        name="offload_job_parts",
    ),
    # Waiting jobs with a deadline for their start.
    models.Index(
        fields=("start_before",),
        condition=models.Q(start_before__isnull=False),
        name="offload_job_deadline",
    ),
    # The lists of what is rare among many jobs that succeeded. SQLite, too, finds these
    # with a parameter for the status. A job that succeeds never writes them.
    *(
        models.Index(
            fields=("owner", "number", "-created_at", "-id"),
            condition=models.Q(status=status),
            name=f"offload_job_{status}",
        )
        for status in ("failed", "cancelled")
    ),
    # The same for people who look at all owners' jobs, and at what failed and why. After an
    # outage most jobs may have failed. PostgreSQL sorted them all, and read every row.
    *(
        models.Index(
            fields=("-created_at", "-id", "number"),
            condition=models.Q(status=status),
            name=f"offload_job_newest_{status}",
        )
        for status in ("failed", "cancelled")
    ),
    # An owner's list of queued or of running jobs.
    models.Index(
        fields=("owner", "number", "-created_at", "-id"),
        condition=models.Q(finished_at__isnull=True),
        name="offload_job_unfinished",
    ),
    # The admin's list of jobs, which begins with the oldest unfinished one. Beside a
    # million finished rows and 200,000 others PostgreSQL sorted the whole table for it.
    models.Index(
        fields=("created_at", "-id"),
        condition=models.Q(finished_at__isnull=True),
        name="offload_job_oldest",
    ),
)
