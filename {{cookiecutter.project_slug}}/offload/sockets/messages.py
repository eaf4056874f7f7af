"""What a client and `/ws/jobs` say to each other: JSON, one object in each text message."""

import json
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from offload.jobs.job_view import JobSummary, summary_of
from offload.jobs.models import Job
from offload.problems import Problem

# Jobs that one message names. Each takes a query or two.
MAX_JOBS_IN_MESSAGE = 100
# Faults of a message that are named in its answer.
MAX_NAMED_FAULTS = 5
# Characters of a fault, which may repeat what the client sent.
MAX_FAULT_LENGTH = 200
# The close codes of this service are this number and the HTTP status.
CLOSE_STATUS = 4000
# RFC 6455, section 5.5: a control frame has 125 bytes at most, two of which are the code.
MAX_REASON_BYTES = 123


class Command(BaseModel, extra="forbid"):
    """What a client asks for. The answers have its `ref`."""

    ref: Annotated[str, Field(max_length=100)] | None = None


class WantedJob(BaseModel, extra="forbid"):
    """A job to be watched."""

    id: UUID
    after: int = -1
    """The last version that the client has seen."""


class Subscribe(Command):
    """Watch these jobs: their state now, unless it was seen, and every change until they end."""

    type: Literal["subscribe"]
    jobs: Annotated[list[WantedJob], Field(min_length=1, max_length=MAX_JOBS_IN_MESSAGE)]


class Unsubscribe(Command):
    """Watch these jobs no more."""

    type: Literal["unsubscribe"]
    jobs: Annotated[list[UUID], Field(min_length=1, max_length=MAX_JOBS_IN_MESSAGE)]


class Cancel(Command):
    """Ask a job to stop."""

    type: Literal["cancel"]
    job: UUID


class Ping(Command):
    """Ask for an answer. A page sees no pings of the protocol: a dead connection looks silent."""

    type: Literal["ping"]


AnyCommand: TypeAlias = Subscribe | Unsubscribe | Cancel | Ping
_commands: TypeAdapter[AnyCommand] = TypeAdapter(Annotated[AnyCommand, Field(discriminator="type")])


def read_command(text: str) -> AnyCommand:
    """The command in a message.

    Raises:
        Problem: 422, it is none; `errors` has its first faults.
    """
    try:
        return _commands.validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [
        {
            "where": ".".join(map(str, fault["loc"]))[:MAX_FAULT_LENGTH],
            "what": fault["msg"][:MAX_FAULT_LENGTH],
        }
        for fault in found[:MAX_NAMED_FAULTS]
    ]
    detail = "; ".join(f"{fault['where'] or 'message'}: {fault['what']}" for fault in faults)
    raise Problem(422, detail, errors=faults)


class Told(BaseModel):
    """What the service says."""

    type: str
    """`subscribed`, `unsubscribed`, `accepted`, `pong` or `error`: the answer to a command.
    `progress`, `succeeded`, `failed`, `cancelled` or `expired`: an event.
    """
    ref: str | None = None
    """That of the command; null in an event."""
    id: UUID | None = None
    """The job's."""
    version: int | None = None
    """Of the job. A client that connects again sends it as `after`."""
    job: JobSummary | None = None
    problem: Any = None
    """Why the command failed, as the API would say it (RFC 9457)."""


def told_of(job: Job, type_: str, ref: str | None = None) -> Told:
    """A message with the state of a job."""
    return Told(type=type_, ref=ref, id=job.pk, version=job.version, job=summary_of(job))


def told_problem(problem: Problem, ref: str | None, job_id: UUID | None = None) -> Told:
    """The message for a command that failed, or for one of its jobs."""
    return Told(type="error", ref=ref, id=job_id, problem=json.loads(problem.body()))


def close_reason(text: str) -> str:
    """As much of the text as fits into a close frame."""
    return text.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
