"""What a job's function leaves behind in its process harms neither the job nor the next one."""

import os
import resource
import signal

import psutil
import pytest

from .conftest import Lab


@pytest.fixture
def one_process(lab: Lab) -> Lab:
    """The lab with Redis and one worker of one process."""
    lab.redis()
    lab.worker(slots=1)
    return lab


def next_job_succeeds(lab: Lab) -> None:
    following = lab.reaches(lab.submit("lab.burn", units=1), "succeeded", patience=30)
    assert following.attempts == 1


@pytest.mark.parametrize(
    ("way", "status"),
    [("fork and exit", 7), ("fork and fail", 1), ("fork and return", 0), ("fork and report", 0)],
)
def test_a_process_that_a_job_forks_ends_no_job(one_process: Lab, way: str, status: int) -> None:
    job = one_process.submit("lab.leaving", way=way)
    ended = one_process.reaches(job, "succeeded", "failed")
    assert ended.past_attempts is None
    assert (ended.status, ended.result, ended.attempts) == ("succeeded", {"value": status}, 1)
    assert one_process.executions(job) == 1
    next_job_succeeds(one_process)


@pytest.mark.parametrize("way", ["a block", "autocommit", "SQL"])
def test_a_transaction_that_a_job_leaves_open_fails_that_job_alone(
    one_process: Lab, way: str
) -> None:
    job = one_process.submit("lab.leaving", way=way)
    ended = one_process.reaches(job, "succeeded", "failed", patience=30)
    assert (ended.status, ended.attempts) == ("failed", 1)
    assert "has begun a transaction of the database and has not ended it" in ended.error
    next_job_succeeds(one_process)


def test_a_job_that_fails_within_a_transaction_keeps_its_error(one_process: Lab) -> None:
    job = one_process.submit("lab.leaving", way="a block, and fail")
    ended = one_process.reaches(job, "succeeded", "failed", patience=30)
    assert ended.error_detail == "ValueError: the input is wrong"
    next_job_succeeds(one_process)


def test_files_that_a_job_leaves_open_fail_no_other_job(one_process: Lab) -> None:
    leaking = one_process.submit("lab.leaving", way="open files")
    one_process.reaches(leaking, "succeeded", patience=30)
    next_job_succeeds(one_process)
    assert "nearly all files" in one_process.log("worker")


@pytest.mark.parametrize("way", ["directory", "umask", "language"])
def test_a_job_changes_nothing_for_the_next_one(one_process: Lab, way: str) -> None:
    def described() -> str:
        ended = one_process.reaches(one_process.submit("lab.changing", way=""), "succeeded")
        assert ended.attempts == 1
        return str(ended.result["text"])

    before = described()
    one_process.reaches(one_process.submit("lab.changing", way=way), "succeeded")
    assert described() == before


def test_a_timer_that_a_job_leaves_kills_no_other(one_process: Lab) -> None:
    job = one_process.submit("lab.changing", way="timer")
    following = one_process.submit("lab.noted", name="after it", seconds=3)
    one_process.reaches(job, "succeeded")
    assert one_process.reaches(following, "succeeded").attempts == 1


@pytest.mark.parametrize(
    "statement",
    [
        "SET search_path TO pg_catalog",
        "SET ROLE pg_monitor",
        "SET statement_timeout = 1",
        "SELECT set_config('app.tenant', 'a', false)",
        "SELECT pg_advisory_lock(7)",
        "CREATE TEMP TABLE offload_job (id uuid)",
    ],
)
def test_a_session_that_a_job_has_changed_ends_with_it(one_process: Lab, statement: str) -> None:
    from django.db import connection

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS NO SESSIONS: test_postgres.py runs this on PostgreSQL")
    one_process.reaches(one_process.submit("lab.burn", units=1), "succeeded")
    job = one_process.submit("lab.changing", way=statement)
    ended = one_process.reaches(job, "succeeded", "failed", patience=30)
    assert (ended.status, ended.attempts, ended.error) == ("succeeded", 1, "")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (0,)
    next_job_succeeds(one_process)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SET search_path TO a", True),
        ("/* a tag */ set role b", True),
        ("SELECT 1; SET timezone = 'UTC'", True),
        ("SET LOCAL lock_timeout = 2000", False),
        ("SET CONSTRAINTS ALL IMMEDIATE", False),
        ('UPDATE "offload_job" SET "status" = %s', False),
        ("SELECT pg_try_advisory_lock(1)", True),
        ("SELECT pg_advisory_xact_lock(1)", False),
        ("CREATE TEMPORARY TABLE t (id int)", True),
        ("CREATE TABLE temp (id int)", False),
    ],
)
def test_a_statement_that_changes_its_session_is_found(statement: str, found: bool) -> None:
    from offload.jobs.worker.left_behind import SESSION_STATEMENT

    assert bool(SESSION_STATEMENT.search(statement)) == found


def test_a_process_that_cannot_write_any_more_costs_neither_its_result_nor_later_jobs(
    lab: Lab,
) -> None:
    lab.redis()
    lab.worker(slots=1, LAB_STUCK="3")
    job = lab.submit("lab.stuck", units=1)
    ended = lab.reaches(job, "succeeded", "failed", patience=30)
    assert (ended.status, ended.attempts, lab.executions(job)) == ("succeeded", 1, 1)
    next_job_succeeds(lab)
    assert "cannot write its end, though the database answers" in lab.log("worker")


@pytest.mark.parametrize("way", ["a cancel", "its time limit", "the worker's end"])
def test_what_a_job_has_started_is_killed_with_its_process(one_process: Lab, way: str) -> None:
    kind = "lab.starts_soon" if way == "its time limit" else "lab.starts"
    job = one_process.computes(one_process.submit(kind))

    def started() -> int:
        commands = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
        return sum(job.params["log"] in " ".join(command or []) for command in commands)

    one_process.until(lambda: started() == 3, "a shell and its two processes", 10)
    if way == "the worker's end":
        one_process.kill("worker", signal.SIGTERM, group=False)
    elif way == "a cancel":
        from offload.jobs import transitions

        transitions.request_cancel(job.pk)
    one_process.reaches(job, "queued", "failed", "cancelled", patience=30)
    one_process.until(lambda: not started(), "them to be killed", 5)


def test_a_process_that_can_open_no_connection_any_more_costs_an_attempt(lab: Lab) -> None:
    """It would wait for the database without end."""
    from django.db import OperationalError

    from offload.jobs.worker import outage

    def refuse() -> None:
        raise OperationalError("unable to open a socket")

    child = os.fork()
    if child == 0:
        limit = resource.RLIMIT_NOFILE
        resource.setrlimit(limit, (3, resource.getrlimit(limit)[1]))
        outage.retry_while_database_is_down(refuse, refuse)
    try:
        lab.until(lambda: os.waitid(os.P_PID, child, os.WNOHANG | os.WEXITED), "its end", 30)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
