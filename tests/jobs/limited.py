"""Jobs of types with a limit, for the tests, made and ended without a worker."""

from typing import Any

from .conftest import Lab
from .families import claimed


def submit(lab: Lab, kind: str, name: str = "a", **params: Any) -> Any:
    return lab.submit(kind, name=name, **params)


def place_of(job: Any) -> Any:
    """The job's place; `blocked` where it has none."""
    job.refresh_from_db()
    assert (job.due_at is None) == (job.place is None)
    return "blocked" if job.unblock_at is not None else job.place


def succeed(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.succeed(claimed(job.pk), {"value": 1}, "")


def fill_places(lab: Lab) -> str:
    """Two of the three places are taken for long; the key."""
    jobs = [submit(lab, "lab.three") for _ in range(3)]
    for job in jobs[1:]:
        claimed(job.pk)
    return str(jobs[0].limit_key)


def unblocked(key: str, count: int) -> list[str]:
    """The owners, or names, of the next jobs that are unblocked, each after the end of the last."""
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock
    from offload.jobs.models import Job

    found = []
    for _ in range(count):
        (held,) = Job.objects.filter(limit_key=key, place=0)
        transitions.succeed(claimed(held.pk), {"value": 1}, "")
        found += [f"{job.owner} {job.params['name']}" for job in unblock(key)]
    return found
