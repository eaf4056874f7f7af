"""A migration beside a transaction that lasts, such as that of `pg_dump`: the service goes on."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections

from .conftest import Lab

pytestmark = pytest.mark.skipif(
    "LAB_DATABASE_URL" not in os.environ, reason="POSTGRESQL ALONE: SQLite locks no table"
)


@pytest.fixture
def dump() -> Iterator[Any]:
    """A session that has read the table of jobs, and has not ended, as a dump does for hours."""
    import psycopg

    url = os.environ["LAB_DATABASE_URL"]
    with psycopg.connect(url, application_name="a dump") as session:
        session.execute("LOCK TABLE offload_job IN ACCESS SHARE MODE")
        yield session


class Readers:
    """Threads that count jobs all the time, as requests do."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.errors: list[Exception] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(3)]

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        from offload.jobs.models import Job

        while not self._stopping.wait(0.05):
            started = time.monotonic()
            try:
                Job.objects.count()
            except Exception as error:
                self.errors.append(error)
            self.longest = max(self.longest, time.monotonic() - started)
        connections.close_all()


def test_a_migration_that_waits_for_a_dump_keeps_no_request_waiting(lab: Lab, dump: Any) -> None:
    def columns() -> set[str]:
        with connection.cursor() as cursor:
            described = connection.introspection.get_table_description(cursor, "offload_job")
            return {column.name for column in described}

    def migrate(name: str, *to: str) -> "subprocess.Popen[bytes]":
        return lab.start(name, sys.executable, "manage.py", "migrate", "offload_jobs", *to)

    undo = migrate("undo", "0014")
    try:
        with Readers() as readers:
            # Longer than a statement of a request may take.
            time.sleep(12)
            assert undo.poll() is None, lab.log("undo")
            dump.rollback()
            assert undo.wait(60) == 0, lab.log("undo")
        assert readers.errors == []
        assert readers.longest < 5, "a read of the table waited"
        assert "(a dump)" in lab.log("undo")
        assert "progress_due_at" not in columns()
    finally:
        undo.kill()
        dump.rollback()
        assert migrate("again").wait(60) == 0, lab.log("again")
    assert "progress_due_at" in columns()
