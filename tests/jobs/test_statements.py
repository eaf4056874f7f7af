"""What a job costs its database, counted: each BEGIN, COMMIT and SAVEPOINT is a round trip, too."""

import contextlib
import dataclasses
import re
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, connections, transaction

from .conftest import Lab, execute

# Counted with this file's `statements` at 227bca8, on both databases. A submit took 4, claim and
# finish of a job 8, and a report 4 more; of a part 11, and a report 9 more.
PART_BEFORE = 11


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """The statements of this thread's connection, as the server gets them."""
    connection.ensure_connection()
    found: list[str] = []

    if connection.vendor == "sqlite":
        connection.connection.set_trace_callback(found.append)
        try:
            yield found
        finally:
            connection.connection.set_trace_callback(None)
        return

    # The library's own trace (libpq, PQtrace): a line for each message, `F` from this client.
    with tempfile.TemporaryFile() as trace:
        connection.connection.pgconn.trace(trace.fileno())
        try:
            yield found
        finally:
            connection.connection.pgconn.untrace()
            trace.seek(0)
            found += re.findall(r"\tF\t\d+\t(?:Query|Parse)\t(.*)", trace.read().decode())


def family(lab: Lab) -> tuple[Any, list[Any]]:
    whole = lab.submit("lab.whole", logs=["/dev/null"] * 3, units=0)
    assert execute(whole) == "running"
    return whole, list(whole.parts.order_by("number"))


def test_a_submit_is_one_statement(lab: Lab) -> None:
    lab.submit("lab.burn")
    with statements() as found:
        job = lab.submit("lab.burn")
    assert len(found) == 1, found
    assert job.created_at
    with transaction.atomic(), statements() as found:
        lab.submit("lab.burn")
    assert sum("SAVEPOINT" in each for each in found) == 2, found


def test_a_job_is_two_statements_and_each_report_is_one_more(lab: Lab) -> None:
    job, reporting = (lab.submit("lab.burn", units=units) for units in (0, 1))
    with statements() as found:
        assert execute(job) == "succeeded"
    assert len(found) == 2, found
    with statements() as found:
        assert execute(reporting) == "succeeded"
    assert len(found) == 3, found


def test_a_part_and_its_parent_are_at_least_a_third_fewer_than_before(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.report import RunningReport

    whole, parts = family(lab)
    # The first part's process asks for the parent's own parent, once for all parts.
    assert execute(parts[0]) == "succeeded"
    with statements() as found:
        assert execute(parts[1]) == "succeeded"
    print(len(found), "statements for a part:", found)
    assert len(found) <= PART_BEFORE * 2 / 3

    claimed = transitions.claim(parts[2].pk, whole.pk, 1)
    assert claimed is not None
    with statements() as found:
        RunningReport(claimed)(0.5)
    assert len(found) <= 3, found
    # The last part makes the job due.
    with statements() as found:
        assert transitions.succeed(claimed, {"value": 1}, "")
    assert len(found) <= PART_BEFORE * 2 / 3, found
    assert execute(whole) == "succeeded"


def test_a_retry_a_cancel_and_a_hand_back_are_one_statement_each(lab: Lab) -> None:
    from offload.jobs import transitions

    writes = (
        lambda job: transitions.retry(job, "again", 1.0),
        transitions.hand_back,
        transitions.stop,
        lambda job: transitions.fail(job, "no"),
    )
    for write in writes:
        job = transitions.claim(lab.submit("lab.burn").pk, uuid4(), 1)
        with statements() as found:
            assert write(job)
        assert len(found) == 1, found


@pytest.fixture(autouse=True)
def _fresh_connection() -> Iterator[None]:
    yield
    connections.close_all()


def test_a_statement_about_all_parts_may_take_longer_than_a_requests(lab: Lab) -> None:
    from offload.jobs.transactions import long_statements

    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE limits statements")

    def wait() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3)")

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 100")
    usual = connection.connection.answer_timeout
    with transaction.atomic(), long_statements():
        wait()
        assert connection.connection.answer_timeout > 100
    assert connection.connection.answer_timeout == usual
    with pytest.raises(OperationalError, match="statement timeout"):
        wait()


class AnsweringBroker:
    """A broker that is there and has no messages."""

    def check(self) -> bool:
        return True

    def depth(self, queue: str) -> int:
        return 0

    def publish(self, messages: Any) -> bool:
        return True

    def take_published(self) -> list[str]:
        return []


def test_a_process_that_does_not_lead_asks_once_for_many_runs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import declare
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance import leader as election
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.stats import JobStats

    leader, follower = (
        Maintenance(AnsweringBroker(), JobStats(), EventPublisher()) for _ in range(2)
    )
    # However slow this machine is.
    for name in ("FOLLOWER_INTERVAL_SECONDS", "LEADER_LEASE_SECONDS"):
        monkeypatch.setattr(election, name, 3600.0)
    tick = declare.find_job_type("lab.tick")
    weekly = dataclasses.replace(tick, limits=dataclasses.replace(tick.limits, every=1e9))
    monkeypatch.setattr(declare, "_job_types", {tick.name: weekly})
    leader.run()
    with statements() as found:
        for _ in range(20):
            follower.run()
    # Before, one read each.
    assert len(found) == 1, found
    leader.run()
    with statements() as found:
        leader.run()
    print(len(found), "statements of a leader's idle run:", [each[:40] for each in found])
    # Without those that come every 2.5 s and every 10 s.
    assert len(found) <= 8 + 2, found


def test_an_idle_worker_looks_at_its_rows_only_for_its_lease(running: Lab) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE counts what other processes ask")

    def transactions(seconds: float) -> float:
        query = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"
        with connection.cursor() as cursor:
            cursor.execute(query)
            before = cursor.fetchone()[0]
            time.sleep(seconds)
            cursor.execute(query)
            return float(cursor.fetchone()[0] - before) / seconds

    def quietest() -> float:
        """Of some windows: in the others a worker may still start, or the leader has more to do."""
        return min(transactions(3.0) for _ in range(4))

    time.sleep(2)
    one = quietest()
    # The processes of a pool ask nothing while they are idle.
    running.worker("second", slots=4)
    running.worker("third", slots=4)

    def few() -> bool:
        each = (quietest() - one) / 2
        print(f"a worker more costs {each:.1f} transactions a second, the first {one:.1f}")
        # With a lease of 6 s. Before: 4.
        return each < 3

    # The start of a worker costs some, too.
    running.until(few, "the workers to ask seldom")


def test_a_row_that_an_update_returns_is_the_row_that_a_query_reads(lab: Lab) -> None:
    """Of a part, too: its parent's id is a UUID on SQLite, where the column is a text."""
    from django.db.models import Q

    from offload.jobs.fenced_update import fenced_update
    from offload.jobs.models import Job

    parent = lab.submit("lab.whole", logs=["/dev/null"], units=1)
    part = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=part.pk).update(parent=parent.pk, number=1)
    returned = fenced_update(Q(), part.pk, progress=0.5)
    assert returned is not None
    read = Job.objects.get(pk=part.pk)
    names = {field.attname for field in Job._meta.concrete_fields} - set(Job.LARGE_FIELDS)
    assert {name: getattr(returned, name) for name in names} == {
        name: getattr(read, name) for name in names
    }
