"""SQLite on a disk that only reads, such as one that the kernel remounts so after an error."""

import os

import pytest
from django.db import OperationalError, connection

from .conftest import Lab

pytestmark = pytest.mark.skipif(
    "LAB_DATABASE_URL" in os.environ, reason="SQLITE ALONE: test_read_only.py is for PostgreSQL"
)


def test_a_write_to_a_file_that_only_reads_is_a_503(lab: Lab) -> None:
    from offload.jobs.models import Job
    from offload.serving.unavailable import unavailable

    with connection.cursor() as cursor:
        # A write is refused with the same error as on such a disk.
        cursor.execute("PRAGMA query_only = ON")
        with pytest.raises(OperationalError, match="readonly") as refused:
            Job.objects.update(message="")
        cursor.execute("PRAGMA query_only = OFF")
    problem = unavailable(refused.value)
    assert problem is not None
    assert (problem.status, problem.headers) == (503, {"Retry-After": "2"})
