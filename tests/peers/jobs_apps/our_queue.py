"""Submits as the generated service does: a row, and its message from the relay's thread."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import django

django.setup()

from jobs_apps.ours.jobs import Note, write_note  # noqa: E402 - Django first
from offload.jobs import submit_sync  # noqa: E402
from offload.jobs.maintenance.runner import create_relay  # noqa: E402
from offload.jobs.services import services  # noqa: E402

# Seconds that the relay has for the last messages.
RELAY_SECONDS = 0.3


@contextmanager
def opened() -> Iterator[None]:
    """As a web process's lifespan."""
    create_relay(services).start()
    yield
    time.sleep(RELAY_SECONDS)
    services.stop_relay()


def submit(path: str, seconds: float = 0.0) -> None:
    """One job."""
    submit_sync(write_note, Note(path=path, seconds=seconds), owner="peers")
