"""One web process for the tests of a file, and a client for it.

No worker runs: the tests move the jobs.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from postgresql_server import free_port

from .conftest import Lab, new_lab
from .families import claimed

STREAMS_PER_OWNER = 6


def lab_with_web(folder: Path, **environment: str) -> Iterator[Lab]:
    """A lab with Redis and a web process that has these variables."""
    os.environ["PORT"] = str(free_port())
    for lab in new_lab(folder):
        lab.redis()
        lab.web(**environment)
        yield lab


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A web process and Redis for all tests of this file."""
    yield from lab_with_web(
        tmp_path_factory.mktemp("web"), LAB_STREAMS_PER_OWNER=str(STREAMS_PER_OWNER)
    )


@pytest.fixture
def api(web: Lab) -> Iterator[httpx.Client]:
    """A client for the web process, with a token of its own."""
    from offload.access.models import ApiToken
    from offload.jobs.models import Job

    with client_of(web) as client:
        yield client
    for model in (ApiToken, Job):
        model.objects.all().delete()


def client_of(lab: Lab, owner: str = "lab") -> httpx.Client:
    """A client for the web process of a lab, with a new token."""
    from offload.access.models import ApiToken

    _, token = ApiToken.make(owner)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=lab.address, headers=headers, timeout=60, trust_env=False)


def succeeded(lab: Lab, result: Any, file: str = "") -> Any:
    from offload.jobs import transitions

    ended = transitions.succeed(claimed(lab.submit("lab.burn", units=1).pk), result, file)
    assert ended is not None
    return ended


def failed_job(web: Lab, **values: Any) -> Any:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1, **values).pk)
    assert transitions.fail(job, "the disk is full")
    return job


def watch(api: httpx.Client, job: Any, lines: list[str], **headers: str) -> threading.Thread:
    """Read a job's event stream in a thread, and return when it has begun."""
    begun = threading.Event()

    def read() -> None:
        with api.stream("GET", f"/api/jobs/{job.pk}/events", headers=headers) as stream:
            lines.append(str(stream.status_code))
            begun.set()
            lines.extend(stream.iter_lines())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert begun.wait(30)
    return thread
