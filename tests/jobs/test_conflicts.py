"""Transactions that PostgreSQL ends because of others are tried again, and are no outage."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .conftest import Lab
from .test_maintenance import RecordingBroker

OUTAGE = "the database does not answer"
IN_THE_WAY = "other transactions are in the way"
# More than one statement is tried at once.
MORE_THAN_THE_TRIES = 7

REFUSING = """
CREATE SEQUENCE lab_refused;
CREATE FUNCTION lab_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A sequence counts what a rollback undoes.
  IF nextval('lab_refused') <= {count} THEN
    RAISE 'could not serialize access' USING ERRCODE = '{code}';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER lab_refuse AFTER INSERT OR UPDATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION lab_refuse();
"""
TAKING = "DROP FUNCTION lab_refuse CASCADE; DROP SEQUENCE lab_refused"


@pytest.fixture(autouse=True)
def _postgres(lab: Lab) -> None:
    from django.db import connection

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")


def in_sql(statements: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statements)


@contextmanager
def refused(table: str, count: int, code: str = "40001") -> Iterator[None]:
    """The first statements that write this table fail, as in a conflict with other transactions."""
    in_sql(REFUSING.format(table=table, count=count, code=code))
    try:
        yield
    finally:
        in_sql(TAKING)


@pytest.fixture
def serializable() -> Iterator[None]:
    """Each new session is SERIALIZABLE, as a database or a role may be told to be.

    Not that of the test: its own reads would meet the workers' writes.
    """
    from django.db import connection

    in_sql("ALTER ROLE lab SET default_transaction_isolation = 'serializable'")
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_isolation TO 'read committed'")
    yield
    in_sql("ALTER ROLE lab RESET default_transaction_isolation")
    connection.close()


def test_workers_of_a_serializable_database_report_no_outage(lab: Lab, serializable: None) -> None:
    lab.redis()
    names = ["one", "two", "three"]
    for name in names:
        lab.worker(name)
    jobs = [lab.submit("lab.burn", units=2) for _ in range(40)]
    for job in jobs:
        assert lab.reaches(job, "succeeded", "failed").status == "succeeded"
    assert [name for name in names if OUTAGE in lab.log(name)] == []


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_look_that_met_other_transactions_is_made_again(lab: Lab, code: str) -> None:
    lab.redis()
    with refused("offload_worker", 2, code):
        lab.worker()
        log = lab.log("worker")
    assert log.count(f"{IN_THE_WAY} of a look") == 2
    assert OUTAGE not in log


def maintenance() -> Any:
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.stats import JobStats

    return Maintenance(RecordingBroker(), JobStats(), EventPublisher())  # type: ignore[arg-type]


def test_a_lead_whose_renewal_met_another_transaction_is_renewed(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs.models import Leader

    look = maintenance().run
    look()
    Leader.objects.update(until="2000-01-01T00:00Z")
    with refused("offload_leader", 2), caplog.at_level(logging.WARNING):
        look()
    assert Leader.objects.get().until.year > 2000
    assert caplog.text == ""


def test_conflicts_are_no_outage_in_which_lost_jobs_are_not_rescued(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs.models import Leader

    leader = maintenance()
    leader.run()
    time.sleep(0.1)
    Leader.objects.update(until="2000-01-01T00:00Z")
    with refused("offload_leader", MORE_THAN_THE_TRIES), caplog.at_level(logging.WARNING):
        leader.run()
        assert "the maintenance met other transactions" in caplog.text
        leader.run()
    assert OUTAGE not in caplog.text
    assert leader._observation.seconds() > 0.1
    assert Leader.objects.get().until.year > 2000


def test_an_end_that_conflicts_for_long_is_written_and_says_why_it_waits(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from uuid import uuid4

    from offload.jobs import transitions
    from offload.jobs.worker.outage import retry_while_database_is_down

    job = transitions.claim(lab.submit("lab.burn", units=1).pk, uuid4(), 1)
    assert job
    with refused("offload_job", MORE_THAN_THE_TRIES), caplog.at_level(logging.WARNING):
        row = retry_while_database_is_down(
            lambda: transitions.fail(job, "the input is wrong"), lambda: None
        )
    assert row
    assert row.status == "failed"
    assert f"{IN_THE_WAY} (try 1)" in caplog.text
    assert OUTAGE not in caplog.text


def test_a_request_that_met_another_transaction_is_told_so(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from django.db import OperationalError

    from offload.jobs.models import Leader
    from offload.serving.unavailable import unavailable

    with refused("offload_leader", 1), pytest.raises(OperationalError) as met:
        Leader.objects.update(reaches_broker=True)
    problem = unavailable(met.value)
    assert problem
    assert (problem.status, problem.headers["Retry-After"]) == (503, "2")
    assert "Other requests change the same data" in problem.detail
    assert "does not answer" not in caplog.text + problem.detail
