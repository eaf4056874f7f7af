"""The life of a job as a list of moments, for the people who run the service."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from offload.jobs.models import Job, Phase, Status, Worker


@dataclass(frozen=True)
class Moment:
    """One line of the timeline.

    Args:
        at: when it was, by the database's clock; None where the row does not say.
        text: what happened.
        is_plan: it has not happened yet.
    """

    at: datetime | None
    text: str
    is_plan: bool = False


def timeline(job: Job) -> list[Moment]:
    """What has happened to the job, oldest first, and what will.

    Parameters, results and what else is in `Job.DATA_FIELDS` are not in it.
    """
    names = _worker_names(job)
    happened = [*_submitted(job), *_attempts(job, names), *_last_attempt(job, names), *_end(job)]
    happened.sort(key=lambda moment: moment.at or job.created_at)
    return [*happened, *_plans(job)]


def _submitted(job: Job) -> Iterator[Moment]:
    of = f"part {job.number} of the job {job.parent_id}" if job.parent_id else "submitted"
    request = f", request {job.request_id}" if job.request_id else ""
    yield Moment(job.created_at, f"{of} by {job.owner}{request}")


def _attempts(job: Job, names: dict[str, str]) -> Iterator[Moment]:
    """The attempts that did not end it."""
    for attempt in job.past_attempts or []:
        due_at, claimed_at = _time(attempt["due_at"]), _time(attempt["claimed_at"])
        by, waited = _by(attempt["worker"], names), _waited(due_at, claimed_at)
        number = f"attempt {attempt['number']}" if attempt["number"] else "no attempt"
        yield Moment(claimed_at, f"{number}{by}{waited}: {attempt['reason']}")


def _last_attempt(job: Job, names: dict[str, str]) -> Iterator[Moment]:
    """What the row says of the attempt that runs or was the last one, and of its message."""
    if job.phase != Phase.WHOLE:
        yield Moment(job.started_at, f"divided into {job.parts_count} parts")
    if job.published_at is not None:
        yield Moment(
            job.published_at, "its message was published, and a second later it still waited"
        )
    if job.claimed_at is not None and job.phase != Phase.PARTS:
        by = _by(str(job.worker) if job.worker else None, names)
        waited = _waited(job.was_due_at, job.claimed_at)
        yield Moment(job.claimed_at, f"claimed{by}: attempt {job.attempts}{waited}")


def _end(job: Job) -> Iterator[Moment]:
    if job.cancel_requested_at is not None:
        yield Moment(job.cancel_requested_at, "asked to stop")
    if job.final:
        yield Moment(job.finished_at, f"{job.status}: {job.error}".rstrip(": "))


def _plans(job: Job) -> Iterator[Moment]:
    """What comes next."""
    later = job.due_at or job.unblock_at
    if later is not None:
        yield Moment(later, "may begin from then on", is_plan=True)
    if job.start_before is not None:
        yield Moment(job.start_before, "fails if it has not begun", is_plan=True)
    if job.worker is not None and job.lease_until is not None:
        yield Moment(
            job.lease_until, "begins again elsewhere if its worker is not heard from", is_plan=True
        )
    if job.status not in (Status.FAILED, Status.CANCELLED):
        when = "after its success" if not job.final else "followed"
        for follower in job.then or []:
            yield Moment(None, f"{when}: {follower['kind']}", is_plan=not job.final)
    if job.on_end and not job.final:
        yield Moment(None, f"at the end of its chain: {job.on_end['kind']}", is_plan=True)
    if job.expires_at is not None:
        yield Moment(job.expires_at, "is deleted", is_plan=True)


def _worker_names(job: Job) -> dict[str, str]:
    """The names of its workers, as far as they still have a row."""
    workers = {attempt["worker"] for attempt in job.past_attempts or []} | {job.worker}
    found = Worker.objects.filter(pk__in=[UUID(str(each)) for each in workers if each])
    return {str(pk): name for pk, name in found.values_list("pk", "name")}


def _by(worker: str | None, names: dict[str, str]) -> str:
    if worker is None:
        return ""
    return f" by {names.get(worker, f'the worker {worker}, which has ended')}"


def _waited(due_at: datetime | None, claimed_at: datetime | None) -> str:
    """How long it was due when the attempt began."""
    if not due_at or not claimed_at:
        return ""
    seconds = max((claimed_at - due_at).total_seconds(), 0.0)
    return f", after waiting {seconds:.1f} s"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
