"""Whatever dies, an accepted job ends in exactly one state with the right result, and its attempts
are counted true.
"""

import os
import signal
import time
from typing import Any

import pytest
from django.db import connection, transaction

from .conftest import LEASE, Lab


def test_a_killed_worker_process_costs_one_attempt_and_no_job(running: Lab) -> None:
    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    running.computes(job)
    for child in running.children("worker"):
        os.kill(child, signal.SIGKILL)
    running.until(lambda: running.executions(job) == 2, "the job to begin again")
    running.gate.touch()
    ended = running.reaches(job, "succeeded")
    assert (ended.attempts, running.executions(job), running.executions(job, "end")) == (2, 2, 1)


def test_a_killed_worker_costs_one_attempt_and_one_lease(running: Lab) -> None:
    job = running.submit("lab.silent", units=1, gate=str(running.gate))
    running.computes(job)
    running.kill("worker")
    running.gate.touch()
    running.worker("second")
    ended = running.reaches(job, "succeeded")
    assert (ended.attempts, running.executions(job)) == (2, 2)
    running.until(
        lambda: "worker lost: no sign of it for 6 s, attempt 1 of 3" in running.log("second"),
        "the log to say so",
    )


def freeze(lab: Lab, name: str) -> None:
    """Stop a process where it holds no lock of the database: those it held would stay with it."""
    for _ in range(100):
        # SQLite's one write lock.
        with transaction.atomic():
            lab.kill(name, signal.SIGSTOP)
        if connection.vendor != "postgresql":
            return
        time.sleep(0.2)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            )
            if cursor.fetchone() == (0,):
                return
        lab.kill(name, signal.SIGCONT)
        time.sleep(0.1)
    pytest.fail(f"{name} always holds a lock")


def test_a_worker_that_wakes_after_its_lease_overwrites_nothing(running: Lab) -> None:
    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    first = running.computes(job)
    freeze(running, "worker")
    running.gate.touch()
    running.worker("second")
    ended = running.reaches(job, "succeeded")
    running.kill("worker", signal.SIGCONT)
    running.until(
        lambda: "another worker has taken over" in running.log("worker"),
        "the woken worker to give up",
    )
    after = running.reaches(job, "succeeded")
    assert after.token == ended.token > first.token
    assert (after.version, after.finished_at, after.attempts) == (
        ended.version,
        ended.finished_at,
        2,
    )


def test_a_job_that_outlives_its_lease_is_not_taken_from_its_worker(running: Lab) -> None:
    job = running.submit("lab.gil", units=int(2 * LEASE))
    running.worker("second")
    ended = running.reaches(job, "succeeded", patience=240)
    assert (ended.finished_at - ended.started_at).total_seconds() > LEASE
    assert (ended.attempts, running.executions(job)) == (1, 1)


def test_a_deploy_hands_a_long_job_back_and_returns_its_attempt(running: Lab) -> None:
    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    running.computes(job)
    running.kill("worker", signal.SIGTERM, group=False)
    handed = running.reaches(job, "queued")
    assert handed.attempts == 0
    running.gate.touch()
    running.worker("second")
    ended = running.reaches(job, "succeeded")
    assert (ended.attempts, running.executions(job), running.executions(job, "end")) == (1, 2, 1)


def test_a_deploy_lets_a_short_job_end(lab: Lab) -> None:
    lab.redis()
    lab.worker(WORKER_GRACE="60")
    job = lab.submit("lab.burn", units=1, gate=str(lab.gate))
    lab.computes(job)
    os.kill(lab.processes["worker"].pid, signal.SIGTERM)
    lab.gate.touch()
    lab.processes["worker"].wait(100)
    ended = lab.reaches(job, "succeeded", "queued")
    assert (ended.status, ended.attempts, lab.executions(job)) == ("succeeded", 1, 1)


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("kill", "signal 9 (SIGKILL)"),
        ("segfault", "signal 11 (SIGSEGV)"),
        ("os._exit", "exitcode 7"),
    ],
)
def test_a_job_that_kills_its_process_fails_after_its_attempts(
    running: Lab, way: str, reason: str
) -> None:
    job = running.submit("lab.die", way=way)
    ended = running.reaches(job, "failed")
    assert (ended.attempts, running.executions(job)) == (3, 3)
    assert ended.error in (
        f"worker lost: its process ended by itself: {reason}, attempt 3 of 3",
        # Where Celery had not read that the job was accepted.
        "worker lost: its process is gone, attempt 3 of 3",
    )
    assert running.processes["worker"].poll() is None
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("sys.exit", "the job called sys.exit(3)"),
        ("MemoryError", "memory limit: the job needed more than 512 MiB"),
        ("allocate", "memory limit: the job needed more than 512 MiB"),
    ],
)
def test_a_job_that_fails_by_itself_fails_once_and_the_worker_lives(
    running: Lab, way: str, reason: str
) -> None:
    _fails_once(running, running.submit("lab.die", way=way), reason)


def test_a_job_that_swallows_its_soft_limit_is_killed_and_the_worker_lives(running: Lab) -> None:
    job = running.submit("lab.overtime", way="swallow the soft limit")
    _fails_once(running, job, "time limit: killed after 4 s")


def _fails_once(running: Lab, job: Any, reason: str) -> None:
    ended = running.reaches(job, "failed")
    assert (ended.error, ended.attempts, running.executions(job)) == (reason, 1, 1)
    assert running.processes["worker"].poll() is None
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


def test_a_job_that_kills_every_worker_fails_after_its_attempts(running: Lab) -> None:
    job = running.submit("lab.die", way="kill the group")
    for attempt in (1, 2, 3):
        running.until(
            lambda attempt=attempt: running.executions(job) == attempt, f"execution {attempt}"
        )
        running.processes["worker"].wait(60)
        running.worker("worker", wait=False)
    ended = running.reaches(job, "failed")
    assert (ended.attempts, running.executions(job)) == (3, 3)
    assert ended.error == "worker lost: no sign of it for 6 s, attempt 3 of 3"


def test_an_error_worth_another_attempt_gets_one_later(running: Lab) -> None:
    job = running.submit("lab.stumble", units=2)
    ended = running.reaches(job, "succeeded")
    assert (ended.result, ended.attempts, ended.error) == ({"value": 3}, 3, "")
    hopeless = running.reaches(running.submit("lab.stumble", units=9), "failed")
    assert (hopeless.attempts, hopeless.error) == (
        3,
        "failed with ConnectionError; the log has the reason under the job's id",
    )


def test_a_large_result_goes_to_storage_and_a_huge_one_fails(running: Lab) -> None:
    stored = running.reaches(running.submit("lab.letters", units=200_000, log=""), "succeeded")
    assert stored.result is None
    assert stored.load_result() == {"text": "x" * 200_000}
    large = running.reaches(running.submit("lab.letters", units=2**28, log=""), "failed")
    assert large.error == "a result of 256 MiB is over the limit of 64 MiB: store it elsewhere"
    huge = running.reaches(running.submit("lab.letters", units=2**30, log=""), "failed")
    assert (huge.attempts, huge.result) == (1, None)
    assert running.processes["worker"].poll() is None
