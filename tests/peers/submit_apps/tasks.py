"""A Celery task on Celery's defaults; nobody works here, it is the handing over that is measured."""

import os

from celery import Celery

app = Celery("peers", broker=os.environ["PEERS_BROKER"])


@app.task(ignore_result=True)
def add(one: int, other: int) -> int:
    """What a getting-started page shows."""
    return one + other
