"""The rows that the pages for staff show, and those pages, for the tests."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from .conftest import Lab
from .test_by_hand_staff import pages

OPERATIONS = "/admin/offload_jobs/operations/"
JOBS = "/admin/offload_jobs/job/"


@pytest.fixture(autouse=True)
def _no_workers(lab: Lab) -> Iterator[None]:
    from offload.jobs.services import services
    from offload.jobs.stats import JobStats

    yield
    services.stats = JobStats()


def works(queue: str = "cpu", *kinds: str, slots: int = 2, **values: Any) -> Any:
    """The row of a running worker."""
    from offload.jobs.models import Worker

    return Worker.objects.create(
        id=uuid4(), name=f"{queue}@lab", queues=[queue], slots=slots, kinds=kinds, **values
    )


def leads(**values: Any) -> None:
    """The row of a process that does the maintenance."""
    from offload.jobs.models import Leader

    until = timezone.now() + timedelta(minutes=5)
    Leader.objects.update_or_create(
        name="relay", defaults={"holder": uuid4(), "until": until, **values}
    )


def shift(job: Any, **values: Any) -> Any:
    from offload.jobs.models import Job

    Job.objects.filter(pk=job.pk).update(**values)
    return Job.objects.get(pk=job.pk)


def reasons(job: Any) -> list[str]:
    from offload.jobs.models import Job
    from offload.jobs.why_waiting import reasons_of_waiting

    return [reason.text for reason in reasons_of_waiting(Job.objects.get(pk=job.pk))]


def page_of(job: Any, *permissions: str) -> str:
    """The page of a job, as staff with these permissions see it."""
    answer = pages("view_job", *permissions).get(f"{JOBS}{job.pk}/change/")
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found
