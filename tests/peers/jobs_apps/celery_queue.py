"""Plain Celery on Redis, with its defaults, without results."""

import os
from contextlib import nullcontext

from celery import Celery

from jobs_apps.work import note

app = Celery("jobs_apps.celery_queue", broker=os.environ["REDIS_URL"])
opened = nullcontext


@app.task(ignore_result=True, name="note")
def write_note(path: str) -> None:
    """The job."""
    note(path)


def submit(path: str) -> None:
    """One job."""
    write_note.delay(path)
