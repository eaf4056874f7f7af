"""What is enqueued through Django's own interface gets the promise of a job (Django 6)."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import django
import pytest
from django.db import transaction
from django.utils import timezone

from .conftest import Lab, execute

pytestmark = pytest.mark.skipif(
    django.VERSION < (6, 0), reason="DJANGO 6 ALONE has django.tasks: make test-next runs this"
)


def row_of(result: Any) -> Any:
    from offload.jobs.models import Job

    return Job.objects.get(pk=result.id)


def test_a_task_runs_in_a_worker_and_outlives_its_process(running: Lab) -> None:
    from labyrinth.lab import tasks

    # The queue of Django's tasks is `default`.
    added = tasks.add.enqueue(1, right=2)
    died = tasks.die_once.enqueue(str(running.folder / "log"))
    refused = tasks.refuse.enqueue()
    asked = tasks.attempt.enqueue()
    for result in (added, died, refused, asked):
        running.reaches(row_of(result), "succeeded", "failed")
        result.refresh()
    assert (added.return_value, died.return_value) == (3, "alive")
    assert (added.attempts, died.attempts) == (1, 2)
    assert asked.return_value == [1, asked.id]
    assert refused.status == "FAILED"
    assert refused.errors[0].traceback == "ValueError: password=hunter2"
    # Clients see only the kind of the error.
    assert "hunter2" not in row_of(refused).error


def test_a_task_of_a_transaction_and_a_task_for_later(lab: Lab) -> None:
    from labyrinth.lab import tasks

    with pytest.raises(RuntimeError), transaction.atomic():
        undone = tasks.add.enqueue(1, 2)
        raise RuntimeError
    later = tasks.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, 2)
    from offload.jobs.models import Job

    assert not Job.objects.filter(pk=undone.id).exists()
    assert execute(row_of(later)) == "duplicate"
    assert tasks.add.get_result(later.id).status == "READY"


def test_a_task_for_a_time_that_has_passed_is_for_now(lab: Lab) -> None:
    from labyrinth.lab import tasks

    row = row_of(tasks.add.using(run_after=timezone.now() - timedelta(hours=2)).enqueue(1, 2))
    # Its age in the queue is not two hours, for which other jobs would be refused.
    assert abs(row.due_at - row.created_at) < timedelta(minutes=1)


def test_what_the_backend_cannot_do_is_refused(lab: Lab) -> None:
    from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
    from labyrinth.lab import tasks

    with pytest.raises(InvalidTask, match="priority"):
        tasks.add.using(priority=5)
    with pytest.raises(InvalidTask, match="Queue"):
        tasks.add.using(queue_name="misspelt")
    for unknown in (str(uuid4()), "no id", str(lab.submit("lab.burn").pk)):
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_result(unknown)


def test_a_task_that_was_removed_fails_in_a_sentence(lab: Lab) -> None:
    from labyrinth.lab import tasks

    from offload.jobs.models import Job
    from offload.jobs.worker.executor import JobFailed

    row = row_of(tasks.add.enqueue(1, 2))
    # What is no task is never called.
    Job.objects.filter(pk=row.pk).update(params=row.params | {"path": "os.getcwd"})
    with pytest.raises(JobFailed, match=r"there is no task os\.getcwd: was it renamed or removed"):
        execute(row)
