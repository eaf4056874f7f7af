"""Tasks of a library that knows nothing of this service: Django's own interface (Django 6)."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.tasks import TaskContext, task


@task
def add(left: int, right: int) -> int:
    return left + right


@task(takes_context=True)
async def attempt(context: TaskContext) -> list[Any]:
    return [context.attempt, context.task_result.id]


@task
def refuse() -> None:
    raise ValueError("password=hunter2")


@task
def die_once(log: str) -> str:
    """Kill the process at the first start."""
    with Path(log).open("a") as file:
        file.write("start\n")
    if len(Path(log).read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)
    return "alive"
