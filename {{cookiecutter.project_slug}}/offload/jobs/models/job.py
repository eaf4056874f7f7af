"""The rows of jobs. A row is the truth about its job; a message in the broker is only a notice."""

import hashlib
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models
from django.db.models.functions import Now
from pydantic import BaseModel

from offload.conf import conf
from offload.jobs.job_type import JobType
from offload.jobs.models.job_indexes import CONSTRAINTS, INDEXES
from offload.jobs.models.states import FINAL, Phase, Status
from offload.jobs.priority import Priority
from offload.observe.tracing import sampled_trace_id, tracing
from offload.serving.middleware import request_id

# Characters of a request's id, as `serving/response_headers.py` accepts it.
MAX_REQUEST_ID_LENGTH = 128
# Characters of an owner's name, as of a user's.
MAX_OWNER_LENGTH = 150
# W3C Trace Context, section 3.2.2.
TRACEPARENT_LENGTH = 55


def default_result_lifetime() -> timedelta:
    """How long a finished job is kept if its type does not say."""
    return timedelta(seconds=conf().result_lifetime)


class Job(models.Model):
    """One accepted job.

    Only `transitions.py`, `divided.py` and `by_hand.py` change how far it is, fenced by `token`.
    """

    # --- what is to be done ---
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The job type's name.
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=50)
    owner = models.CharField(max_length=MAX_OWNER_LENGTH)
    params = models.JSONField()
    priority = models.PositiveSmallIntegerField(
        choices=Priority, default=Priority.NORMAL, db_default=Priority.NORMAL
    )
    # The divided job that this job is a part of.
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, related_name="parts", db_index=False
    )
    # The number of a part, from 1; 0 for other jobs.
    number = models.PositiveIntegerField(default=0)
    # How many parts a divided job has; 0 for other jobs. The join refuses another number.
    parts_count = models.PositiveIntegerField(default=0)
    # How many of them may fail or be cancelled while the job goes on.
    failed_parts_allowed = models.PositiveIntegerField(default=0)

    # --- how far it is ---
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    phase = models.CharField(max_length=5, choices=Phase, default=Phase.WHOLE, blank=True)
    # From 0 to 1.
    progress = models.FloatField(default=0.0)
    # A report of a part does not change the divided job's progress before then.
    progress_due_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=200, blank=True)
    # What the function reported for its next attempt. A success deletes it.
    checkpoint = models.JSONField(null=True)
    result = models.JSONField(null=True)
    # The name of a large result in file storage.
    result_file = models.CharField(max_length=255, blank=True)
    # Why the job failed, in words for its owner.
    error = models.TextField(blank=True)
    # The type and text of the function's error, for operators. No API shows it.
    error_detail = models.TextField(blank=True, default="")

    # --- who works on it ---
    # The number of starts, without those that a worker handed back.
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField()
    # The fencing token. It grows at every claim and hand-back, and is never used again.
    token = models.BigIntegerField(default=0)
    # It grows at every change that a watcher may see, and is the id of the watcher's event.
    version = models.BigIntegerField(default=0)
    # The worker that holds the lease.
    worker = models.UUIDField(null=True)
    # The worker's process that computes.
    pid = models.IntegerField(null=True)
    lease_until = models.DateTimeField(null=True)
    # A worker may claim the job from this time on; a retry sets it into the future. NULL while the
    # job runs, waits for its parts or has ended, so that an index of it holds waiting jobs alone.
    due_at = models.DateTimeField(db_default=Now(), null=True)
    # Since when the job was due when a worker claimed it last: how long it waited.
    was_due_at = models.DateTimeField(null=True)
    # When a worker claimed it for the attempt that runs, or for the last one. NULL while it waits.
    claimed_at = models.DateTimeField(null=True)
    # The attempts that did not end it, see `row_states.with_attempt`. NULL: there was none.
    past_attempts = models.JSONField(null=True)
    # When a message was last published for a job that still waited a second later. NULL: never
    # since it became due.
    published_at = models.DateTimeField(null=True)
    # A job that no worker has claimed until then fails. NULL: it has no such deadline, or it has
    # begun in time.
    start_before = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)

    # --- what limits it; see `blocked.py` ---
    # Jobs with the same key share a `RunLimit`. NULL: no limit.
    limit_key = models.CharField(max_length=255, null=True)
    # The job is blocked, and may become due from this time on. NULL: it is not blocked.
    unblock_at = models.DateTimeField(null=True)
    # The number of the place that a due or running job of the key takes, from 0.
    place = models.PositiveIntegerField(null=True)
    # Blocked jobs of a key become due in this order.
    rank = models.BigIntegerField(default=0, db_default=0)

    # --- what it came from ---
    # Several NULLs do not violate a unique constraint.
    idempotency_key = models.CharField(max_length=255, null=True)
    # The SHA-256 of the request that used the key.
    fingerprint = models.CharField(max_length=64, blank=True)
    # At most one unfinished job has this key.
    unique_key = models.CharField(max_length=64, null=True)
    # The request's id, which the worker's log lines carry, too.
    request_id = models.CharField(max_length=MAX_REQUEST_ID_LENGTH, blank=True)
    # The span in which it was submitted; see `attempt_span.py`. NULL: nothing was traced.
    traceparent = models.CharField(max_length=TRACEPARENT_LENGTH, null=True)

    # --- what follows it, see `followers.py` ---
    # The declared columns of the jobs that follow, one after the other.
    then = models.JSONField(null=True)
    # Those of the callback at the end.
    on_end = models.JSONField(null=True)

    # --- times, all by the database's clock, because hosts' clocks differ ---
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # How long the row is kept after its end. Every transition to an end reads it from the row.
    result_lifetime = models.DurationField(default=default_result_lifetime)
    expires_at = models.DateTimeField(null=True)

    # Lists and watchers never read these: 64 kB, 1 MB and 64 kB a row at their limits.
    LARGE_FIELDS = ("params", "result", "checkpoint")
    # What callers handed in and jobs computed, and what may tell of it: the text of an error, the
    # key of a limit, and two hashes. Staff see them with the permission below.
    DATA_FIELDS = (*LARGE_FIELDS, "error_detail", "limit_key", "fingerprint", "unique_key")

    class Meta:
        db_table = "offload_job"
        ordering = ("-created_at", "-id")
        permissions = (("view_job_data", "Can see parameters and results of jobs"),)
        constraints = CONSTRAINTS
        indexes = INDEXES

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.status})"

    @classmethod
    def new(
        cls, job_type: JobType[Any, Any], params: BaseModel, owner: str, **values: Any
    ) -> "Job":
        """An unsaved row for a job of this type.

        Raises:
            TypeError, ParamsTooLarge, ParamsUnfit: as `JobType.to_json`.
            ValueError: the database has no such owner.
        """
        if len(owner) > MAX_OWNER_LENGTH or "\0" in owner:
            raise ValueError(
                f"an owner has at most {MAX_OWNER_LENGTH} characters, and no NUL: {owner!r}"
            )
        document = job_type.to_json(params)

        if job_type.limits.unique:
            identity = f"{job_type.name}\n{owner}\n{document}"
            values["unique_key"] = hashlib.sha256(identity.encode()).hexdigest()

        if job_type.limits.run_limit is not None:
            values["limit_key"] = job_type.limits.run_limit.key(job_type.name, owner, params)
        given = values.get("request_id") or request_id.get()
        values["request_id"] = given[:MAX_REQUEST_ID_LENGTH]
        values.setdefault("traceparent", tracing.headers().get("traceparent"))

        columns = cls.declared_columns(job_type)
        return cls.declared(columns, owner=owner, params=json.loads(document), **values)

    @staticmethod
    def declared_columns(job_type: JobType[Any, Any]) -> dict[str, Any]:
        """The columns that the type's declaration decides, as plain JSON data."""
        limits = job_type.limits
        return {
            "kind": job_type.name,
            "queue": limits.queue,
            "max_attempts": limits.max_attempts,
            "result_lifetime": limits.result_lifetime,
            "start_within": limits.start_within,
            "priority": limits.priority_level,
        }

    @classmethod
    def declared(cls, columns: dict[str, Any], **values: Any) -> "Job":
        """An unsaved row with these `declared_columns`, and the values of one job.

        A newer process may have written columns that this one does not have: they are left out.
        """
        seconds = columns.get("start_within")
        if seconds is not None and values.get("start_before") is None:
            values["start_before"] = values.get("due_at", Now()) + timedelta(seconds=seconds)

        # A limited job becomes due by `blocked.unblock`.
        if values.get("limit_key") is not None:
            values |= {"unblock_at": values.pop("due_at", Now()), "due_at": None}

        known = {field.name for field in cls._meta.fields}
        columns = {name: value for name, value in columns.items() if name in known}

        seconds = columns.pop("result_lifetime", None)
        if seconds is not None:
            columns["result_lifetime"] = timedelta(seconds=seconds)
        return cls(**{**columns, **values})

    @staticmethod
    def takes_result(document: str) -> bool:
        """Whether the row takes a result's JSON; file storage takes a larger one."""
        return len(document.encode()) <= conf().result_limit

    def store_result(
        self, document: str, announce: Callable[[str], object] = lambda name: None
    ) -> tuple[Any, str]:
        """Prepare a result's JSON for the row: in the row itself, or in file storage.

        Args:
            announce: called with the name of a file before it is written; see `ResultFile`.

        Returns:
            The result as JSON data and no file name; or None and the name of the file that now
            holds the result, where its JSON is over `conf().result_limit` bytes.
        """
        if self.takes_result(document):
            return json.loads(document), ""

        # With the token in its name, an attempt that lost its lease never overwrites the file of a
        # later attempt.
        name = default_storage.get_available_name(f"job-results/{self.pk}-{self.token}.json")
        announce(name)
        return None, default_storage.save(name, ContentFile(document.encode()))

    def load_result(self) -> Any:
        """The result as plain JSON data, from the row or from file storage."""
        if not self.result_file:
            return self.result

        with default_storage.open(self.result_file) as file:
            return json.load(file)

    @property
    def final(self) -> bool:
        """Whether the job has ended. Only a retry by hand changes it again."""
        return self.status in FINAL

    def log_fields(self) -> dict[str, Any]:
        """The `extra` of every log line about the job.

        With it one id finds the request, the job and its parts.
        """
        fields = {"job_id": str(self.pk), "kind": self.kind, "request_id": self.request_id}
        if self.parent_id:
            fields["parent_id"] = str(self.parent_id)
        if trace_id := sampled_trace_id(self.traceparent):
            fields["trace_id"] = trace_id
        return {**fields, "attempt": self.attempts}

    def snapshot(self) -> dict[str, Any]:
        """The event that watchers get of a change: small, without parameters and result."""
        return {
            "id": str(self.id),
            "version": self.version,
            "status": self.status,
            "progress": round(self.progress, 4),
            "message": self.message,
        }
