"""A worker's main process knows what its processes work on, and acts on nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import SyncToAsync
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F
from django.db.models.functions import Now

from .conftest import Lab


def test_a_row_that_no_process_works_on_is_cancelled_and_harms_nobody_elses_job(
    running: Lab,
) -> None:
    from offload.jobs.models import Job

    submitted = running.submit("lab.silent", units=1, gate=str(running.gate))
    busy = running.computes(submitted)
    # A row that its process could not end: the process computes another owner's job by now.
    zombie = running.submit("lab.burn", owner="other", units=1)
    Job.objects.filter(pk=zombie.pk).update(
        status="running",
        worker=busy.worker,
        pid=busy.pid,
        token=1,
        attempts=1,
        lease_until=busy.lease_until,
        cancel_requested_at=Now(),
    )
    running.reaches(zombie, "cancelled")
    running.gate.touch()
    ended = running.reaches(busy, "succeeded")
    assert (ended.attempts, running.executions(busy)) == (1, 1)


def test_a_process_whose_job_was_taken_over_is_killed(running: Lab) -> None:
    from offload.jobs.models import Job

    job = running.computes(running.submit("lab.silent", units=1, gate=str(running.gate)))
    Job.objects.filter(pk=job.pk).update(token=F("token") + 1, worker=uuid4())
    running.until(lambda: not alive(job.pid), "the process to be killed")
    running.until(
        lambda: "another worker has taken over" in running.log("worker"), "the log to say so"
    )
    assert running.executions(job, "end") == 0
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


def test_a_process_that_was_started_beside_a_full_queue_submits_when_there_is_room(
    lab: Lab,
) -> None:
    from offload.jobs import transitions
    from offload.jobs.control import pause
    from offload.jobs.models import Leader

    pause(kind="lab.burn", by="the test", reason="they fill the queue")
    waiting = [lab.submit("lab.burn", units=1) for _ in range(3)]
    lab.redis()
    lab.worker(slots=1, LAB_QUEUE_DEPTH="3")
    counted = Leader.objects.filter(stats__queues__cpu__depth=3)
    lab.until(counted.exists, "the worker's main process to count them")
    lab.reaches(lab.submit("lab.modest"), "succeeded")
    (process,) = lab.children("worker")
    os.kill(process, signal.SIGKILL)
    lab.until(lambda: lab.children("worker") not in ([], [process]), "the next process")

    for job in waiting:
        transitions.request_cancel(job.pk)
    lab.until(lambda: not counted.exists(), "the queue to have room")
    lab.reaches(lab.submit("lab.submitting"), "succeeded")


def test_time_limits_and_cancels_need_no_redis(running: Lab) -> None:
    from offload.jobs import transitions

    cancelled = running.computes(running.submit("lab.silent", units=1, gate=str(running.gate)))
    limited = running.submit("lab.overtime", way="swallow the soft limit")
    running.until(lambda: running.executions(limited), "the other job to begin")
    running.kill("redis")
    # Celery's loop finds out, and waits for Redis.
    time.sleep(1.5)
    transitions.request_cancel(cancelled.pk)
    running.reaches(cancelled, "cancelled")
    ended = running.reaches(limited, "failed")
    assert ended.error == "time limit: killed after 4 s"
    assert running.executions(limited, "swallowed") > 0
    running.redis()
    back = time.monotonic()
    running.reaches(running.submit("lab.burn", units=1), "succeeded")
    print(f"the first job ended {time.monotonic() - back:.1f} s after the return of Redis")
    endless = running.submit("lab.softly_limited", units=1, gate=str(running.gate))
    asked = running.reaches(endless, "failed")
    assert asked.error == "time limit: still running after 1.5 s"


def test_the_time_limit_ends_when_the_function_returns(running: Lab) -> None:
    from offload.jobs.models import Job

    # Some 10 ms of work under a limit of 4 s.
    job = running.submit("lab.limited", units=1, gate=str(running.gate))
    running.until(lambda: running.executions(job), "the job to begin")
    with transaction.atomic():
        # SQLite's one write lock; on PostgreSQL the row's.
        Job.objects.select_for_update().get(pk=job.pk)
        running.gate.touch()
        running.until(lambda: running.executions(job, "end"), "the function to return")
        # Longer than the limit.
        time.sleep(4.5)
    ended = running.reaches(job, "succeeded", "failed")
    assert (ended.status, ended.attempts, ended.error) == ("succeeded", 1, "")


def test_a_stopped_workers_rows_are_handed_back_when_its_processes_are_dead(running: Lab) -> None:
    job = running.computes(running.submit("lab.gil", units=120))
    began = time.monotonic()
    os.kill(running.processes["worker"].pid, signal.SIGTERM)
    handed = running.reaches(job, "queued")
    assert not alive(job.pid)
    assert handed.attempts == 0
    # The job would take longer than a minute.
    running.processes["worker"].wait(30)
    took = time.monotonic() - began
    print(f"the worker ended {took:.1f} s after SIGTERM, with a grace of 1 s")


def test_a_worker_without_processes_is_refused_at_its_start(lab: Lab) -> None:
    process = lab.start("threads", sys.executable, "-m", "offload.jobs", "-P", "threads")
    assert process.wait(100) != 0
    assert "Leave out -P, or give -P prefork" in lab.log("threads")


def test_a_worker_whose_processes_are_spawned_is_refused_at_its_start() -> None:
    from celery.concurrency.prefork import TaskPool

    from offload.jobs.worker.start import require_forked_processes

    with pytest.raises(SystemExit, match="cannot start its processes by spawn"):
        require_forked_processes(SimpleNamespace(pool_cls=TaskPool, pool_start_method="spawn"))


def test_an_orphan_that_cannot_be_settled_keeps_no_other_from_its_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.assignments import Assignments
    from offload.jobs.worker.orphans import Orphans
    from offload.jobs.worker.shutdown import Shutdown
    from offload.jobs.worker.spool import Spool

    reclaim = transitions.reclaim
    held = [transitions.claim(lab.submit("lab.burn").pk, uuid4(), 2**22) for _ in range(2)]

    def refuse_the_first(job: Any, reason: str) -> Any:
        if job.pk == held[0].pk:
            raise IntegrityError("duplicate key")
        return reclaim(job, reason)

    monkeypatch.setattr(transitions, "reclaim", refuse_the_first)
    spool = Spool(lab.folder / "spool")
    orphans = Orphans(Shutdown(Assignments(1), spool, lambda: None), lambda: None, spool)
    orphans.settle(held, [])
    assert {row.status for row in rows(held)} == {"running"}
    orphans.settle(held, [])
    assert [row.status for row in rows(held)] == ["running", "queued"]


def rows(jobs: list[Any]) -> list[Any]:
    from offload.jobs.models import Job

    return [Job.objects.get(pk=job.pk) for job in jobs]


def test_jobs_share_their_processes_database_connections(running: Lab) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE counts its sessions")

    def sessions() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(sessions) FROM pg_stat_database")
            return int(cursor.fetchone()[0])

    for job in [running.submit("lab.burn", units=1) for _ in range(4)]:
        running.reaches(job, "succeeded")
    before = sessions()
    for job in [running.submit("lab.burn", units=1) for _ in range(30)]:
        running.reaches(job, "succeeded")
    # The statistics of a session come after its end, or within seconds.
    time.sleep(2)
    print(f"{sessions() - before} sessions for 30 jobs")
    assert sessions() - before < 15


@pytest.mark.skipif(
    "LAB_DATABASE_RESTART" not in os.environ, reason="a server to stop: test_postgres.py has one"
)
def test_a_database_that_stays_away_costs_no_result(running: Lab) -> None:
    job = running.computes(running.submit("lab.silent", units=1, gate=str(running.gate)))
    database("stop")
    seconds = float(os.environ.get("LAB_OUTAGE_SECONDS", "8"))
    try:
        running.gate.touch()
        running.until(lambda: running.executions(job, "end"), "the function to return")
        time.sleep(seconds)
    finally:
        # A restart starts a stopped server, with its former options.
        database("restart")
        connection.close()
    ended = running.reaches(job, "succeeded", "failed")
    assert (ended.status, ended.attempts, running.executions(job)) == ("succeeded", 1, 1)


def database(action: str) -> None:
    command = os.environ["LAB_DATABASE_RESTART"].replace("restart", action).split()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
    if action == "restart":
        # Tests that await have a connection in the thread of `sync_to_async`: it is broken now.
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()


def test_a_process_that_has_moved_on_is_not_signalled() -> None:
    from offload.jobs.worker.processes import process_is_alive, signal_if

    child = subprocess.Popen(["sleep", "60"])
    try:
        assert not signal_if(lambda: False, child.pid, signal.SIGKILL)
        assert process_is_alive(child.pid)
        # It is not signalled where it takes longer than a second to stop.
        assert any(signal_if(lambda: True, child.pid, signal.SIGKILL) for _ in range(10))
        deadline = time.monotonic() + 30
        while process_is_alive(child.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
    # Never this process's own group, and nothing that is no child of this process.
    assert not signal_if(lambda: True, 0, signal.SIGCONT)
    assert not process_is_alive(1)


def alive(pid: Any) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return False


# The main thread of a worker whose end hangs, after it has waited for its jobs.
STUCK_WORKER = """
import pathlib, sys, time, uuid
import django

django.setup()
from offload.jobs.worker import shutdown
from offload.jobs.worker.assignments import Assignment, Assignments
from offload.jobs.worker.spool import Spool

shutdown.END_TIMEOUT_SECONDS = 2.0
stops = shutdown.Shutdown(Assignments(1), Spool(pathlib.Path(sys.argv[1])), lambda: None)
stops.wait_for_jobs()
stops.unfinished = [Assignment(1, uuid.UUID(sys.argv[2]), token=7)]
time.sleep(3600)
"""


def test_a_worker_whose_end_hangs_ends_all_the_same_and_spools_its_hand_backs(lab: Lab) -> None:
    """Celery's own end waited for minutes for a broker that was away."""
    job_id = uuid4()
    spool = lab.folder / "stuck-spool"
    stuck = lab.start("stuck", sys.executable, "-c", STUCK_WORKER, str(spool), str(job_id))
    lab.until(lambda: stuck.poll() is not None, "the worker to end")
    assert stuck.returncode == 1, lab.log("stuck")
    assert "the worker has not ended 5 s after it was told to" in lab.log("stuck")
    assert [str(job_id) in file.name for file in spool.iterdir()] == [True]


# A worker on a system that refuses further processes as soon as there is a file.
NO_FORKS = """
import os, pathlib, sys

marker, fork, main_pid = pathlib.Path(sys.argv.pop(1)), os.fork, os.getpid()

def refused():
    if os.getpid() == main_pid and marker.exists():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = refused
from offload.jobs.__main__ import main
sys.exit(main())
"""


def test_a_worker_that_gets_no_processes_ends_as_failed_and_costs_no_job(lab: Lab) -> None:
    from offload.jobs.models import Worker

    lab.redis()
    marker = lab.folder / "no-forks"
    options = (str(marker), "-Q", "cpu", "-c", "2", "-n", "first@lab")
    first = lab.start("first", sys.executable, "-c", NO_FORKS, *options)
    lab.until(Worker.objects.exists, "the worker to say that it is there")
    jobs = [lab.computes(lab.submit("lab.burn", units=5, gate=str(lab.gate))) for _ in range(2)]
    marker.touch()
    os.kill(jobs[0].pid, signal.SIGKILL)
    lab.until(lambda: first.poll() is not None, "the worker to end")
    assert first.returncode == 1
    lab.gate.touch()
    lab.worker("second")
    for job in jobs:
        lab.reaches(job, "succeeded")
