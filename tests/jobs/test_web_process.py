"""What a web process tells of itself, and what it does when it is told to stop."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Lab
from .families import claimed


def gauge(api: httpx.Client, name: str) -> float:
    lines = api.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def test_a_stop_answers_long_polls_with_the_job_as_it_is(lab: Lab) -> None:
    from offload.access.models import ApiToken

    lab.redis()
    process = lab.web()
    _, token = ApiToken.make("lab")
    job = claimed(lab.submit("lab.burn", units=1).pk)
    answers: list[httpx.Response] = []
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=30"}

    def poll() -> None:
        url = f"{lab.address}/api/jobs/{job.pk}"
        answers.append(httpx.get(url, headers=headers, timeout=60, trust_env=False))

    pollers = [threading.Thread(target=poll) for _ in range(3)]
    for poller in pollers:
        poller.start()
    with httpx.Client(base_url=lab.address, timeout=60, trust_env=False) as client:
        lab.until(lambda: gauge(client, "offload_serving_streams_in_flight") == 3, "the waits")
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    for poller in pollers:
        poller.join(60)
    # Without the stop they would have waited for the rest of their 30 s, or until they were cut.
    assert time.monotonic() - started < 15
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [
        (200, "running")
    ] * 3
    assert process.wait(60) in (0, -signal.SIGTERM)
    assert "Traceback" not in lab.log("web")


def test_a_web_process_is_ready_without_broker_and_workers(lab: Lab) -> None:
    lab.web()
    with httpx.Client(base_url=lab.address, timeout=60, trust_env=False) as client:

        def fresh() -> Any:
            answer = client.get("/health/ready")
            report = answer.json()
            told = answer.status_code == 200 and report["database_age_seconds"] < 3
            return report if told else None

        report = lab.until(fresh, "the database's answer")
        assert (report["database"], report["broker"], report["worker"]) == (True, False, False)
        assert (report["workers"], report["events"]) == (0, False)
        assert client.get("/health/dependencies").status_code == 503


def test_the_dependencies_are_there_when_a_job_would_be_computed(running: Lab) -> None:
    running.web()
    with httpx.Client(base_url=running.address, timeout=60, trust_env=False) as client:
        running.until(
            lambda: client.get("/health/dependencies").status_code == 200, "all dependencies"
        )
        running.until(lambda: client.get("/health/ready").json()["events"], "the subscription")


@contextlib.contextmanager
def frozen_database() -> Iterator[None]:
    """No process of the PostgreSQL server runs, and its sockets take bytes."""
    # The first line of the file is the process id. The server may have been restarted.
    file = Path(os.environ["LAB_DATABASE_FOLDER"]) / "postmaster.pid"
    server = int(file.read_text().split()[0])
    # The server first: it starts no further process then.
    frozen = [server]
    os.kill(server, signal.SIGSTOP)
    try:
        for pid in _children(server):
            frozen.append(pid)
            # One may end meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif("LAB_DATABASE_FOLDER" not in os.environ, reason="test_postgres.py has a server")
def test_a_frozen_database_shows_in_readiness_and_a_thaw_does_too(lab: Lab) -> None:
    lab.web()
    with httpx.Client(base_url=lab.address, timeout=60, trust_env=False) as client:
        lab.until(lambda: client.get("/health/ready").status_code == 200, "the database's answer")
        with frozen_database():
            lab.until(lambda: client.get("/health/ready").status_code == 503, "a 503")
            report = client.get("/health/ready").json()
            assert not report["database"]
            assert report["database_age_seconds"] >= 3
            # The process itself goes on.
            assert client.get("/health/live").status_code == 200
        lab.until(lambda: client.get("/health/ready").status_code == 200, "the thaw")


def _children(server: int) -> list[int]:
    """The processes that a PostgreSQL server has started."""
    return [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()]
