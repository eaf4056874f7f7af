"""A worker whose host starts no more threads: its limit of processes is reached."""

import signal
import sys
import threading
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab

# A worker whose main process starts no more threads after a SIGUSR2.
WORKER = """
import runpy, signal, sys, threading

def refuse(thread):
    raise RuntimeError("can't start new thread")

def exhaust(*_):
    threading.Thread.start = refuse
    print("exhausted", flush=True)

signal.signal(signal.SIGUSR2, exhaust)
runpy.run_module("offload.jobs", run_name="__main__")
"""


def test_the_end_of_a_job_is_written_and_is_kept_again_when_there_are_threads(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.declare import find_job_type
    from offload.jobs.worker.assignments import Assignments
    from offload.jobs.worker.executor import execute
    from offload.jobs.worker.kept_end import Spooler
    from offload.jobs.worker.spool import Spool

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    spooler, slot = Spooler(Spool(lab.folder / "spool")), Assignments(1).slot()
    jobs = [lab.submit("lab.burn", units=1) for _ in range(2)]
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refuse)
        for job in jobs:
            job_type: Any = find_job_type(job.kind)
            assert execute(job_type, job.pk, uuid4(), slot, spooler) == "succeeded"

    before = threading.active_count()
    with spooler.keeping(None):
        assert threading.active_count() == before + 1


def test_a_worker_that_is_told_to_stop_hands_its_jobs_back(lab: Lab) -> None:
    lab.redis()
    options = ("-Q", "cpu,default", "-c", "2", "-n", "worker@lab")
    worker = lab.start("worker", sys.executable, "-c", WORKER, *options)
    jobs = [lab.submit("lab.burn", gate=str(lab.gate)) for _ in range(2)]
    for job in jobs:
        lab.computes(job)
    worker.send_signal(signal.SIGUSR2)
    lab.until(lambda: "exhausted" in lab.log("worker"), "the limit to be reached")
    worker.send_signal(signal.SIGTERM)
    worker.wait(100)
    for job in jobs:
        job.refresh_from_db()
    # Neither lost, nor blamed for an attempt.
    assert [(job.status, job.attempts) for job in jobs] == [("queued", 0)] * 2
