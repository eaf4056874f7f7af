"""A database that only reads is one that is away: nothing is lost, and it is a 503.

PostgreSQL is so after a failover, for connections that still lead to the old server, and while a
disk is nearly full, where an operator or a cloud chooses it (`default_transaction_read_only`).
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InternalError, OperationalError, connection, connections, transaction

from .conftest import Lab
from .web_process import client_of

pytestmark = pytest.mark.skipif(
    "LAB_DATABASE_URL" not in os.environ, reason="POSTGRESQL ALONE: SQLite has no such server"
)


def other_connection() -> Any:
    """A session that writes, whatever the server's default is."""
    import psycopg

    options = "-c default_transaction_read_only=off"
    return psycopg.connect(os.environ["LAB_DATABASE_URL"], autocommit=True, options=options)


@contextlib.contextmanager
def read_only() -> Iterator[None]:
    """The server only reads, in sessions that are open, too."""

    def turn(value: str) -> None:
        with other_connection() as other:
            other.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            other.execute("SELECT pg_reload_conf()")

    turn("on")
    try:
        yield
    finally:
        turn("off")
        connections.close_all()


def is_read_only() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return bool(cursor.fetchone() == ("on",))


def test_a_result_waits_until_the_database_writes_again(running: Lab) -> None:
    job = running.computes(running.submit("lab.silent", units=1, gate=str(running.gate)))
    with read_only():
        running.until(is_read_only, "the server to be read-only")
        running.gate.touch()
        running.until(lambda: running.executions(job, "end"), "the function to return")
        running.until(
            lambda: "this process keeps what it has to write" in running.log("worker"),
            "the worker to say that it waits",
        )
    ended = running.reaches(job, "succeeded", "failed")
    assert (ended.status, ended.attempts, running.executions(job)) == ("succeeded", 1, 1)


def test_a_submit_to_a_database_that_only_reads_is_a_503(lab: Lab) -> None:
    lab.redis()
    lab.web()
    with client_of(lab) as client:
        body = {"log": "/dev/null", "units": 1}
        with read_only():
            lab.until(is_read_only, "the server to be read-only")
            refused = client.post("/api/lab/burn", json=body)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        lab.until(
            lambda: client.post("/api/lab/burn", json=body).status_code == 202,
            "a submit to be accepted",
        )


def test_a_transaction_that_the_service_made_read_only_is_no_outage(lab: Lab) -> None:
    from offload.jobs.models import Job

    with transaction.atomic():
        with pytest.raises(InternalError), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
            Job.objects.update(message="")
        # The transaction around it goes on, in the same session.
        assert Job.objects.update(message="") == 0


def test_a_transaction_on_a_server_that_only_reads_is_an_outage(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job

    def write() -> None:
        with transaction.atomic():
            Job.objects.update(message="")

    with read_only():
        lab.until(is_read_only, "the server to be read-only")
        # An open session learns it, and a new one knows it.
        for _ in range(2):
            with pytest.raises(OperationalError):
                write()
            connection.close()

    # A pooler does not say what has become of the server.
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    connection.close()
    with pytest.raises(OperationalError), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        write()
    connection.close()


def test_a_session_that_the_server_ended_in_a_transaction_is_an_outage(lab: Lab) -> None:
    """A process that was stopped for a minute within a transaction, for example."""
    from offload.jobs.models import Job

    def is_ended() -> bool:
        with other_connection() as other:
            question = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            return bool(other.execute(question, [pid]).fetchone()[0] == 0)

    with pytest.raises(OperationalError), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
        lab.until(is_ended, "the server to end the session")
        Job.objects.count()
    assert Job.objects.count() == 0
