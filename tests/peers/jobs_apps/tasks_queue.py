"""Enqueues through django-tasks."""

from contextlib import nullcontext

import django

django.setup()

from django_tasks import task  # noqa: E402 - Django first

from jobs_apps.work import note  # noqa: E402

opened = nullcontext


@task
def write_note(path: str) -> None:
    """The job."""
    note(path)


def submit(path: str) -> None:
    """One job."""
    write_note.enqueue(path)
