"""A Celery task with Celery's defaults. No worker runs: only the publishing is measured."""

import os

from celery import Celery

app = Celery("peers", broker=os.environ["PEERS_BROKER"])


@app.task(ignore_result=True)
def add(one: int, other: int) -> int:
    """What a getting-started page shows."""
    return one + other
