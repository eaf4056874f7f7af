"""Jobs behind PgBouncer, which gives each transaction another connection to PostgreSQL."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.db import connection
from postgresql_server import free_port

from .conftest import Lab

CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={server} dbname=postgres user=lab
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""


def program() -> str:
    """PgBouncer. Debian puts it where only root's PATH looks."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        if os.environ.get("REQUIRE_PGBOUNCER"):
            pytest.fail("REQUIRE_PGBOUNCER is set and there is no PgBouncer on this machine")
        pytest.skip("NO PGBOUNCER ON THIS MACHINE: jobs were not tried behind a pooler")
    return found


@pytest.fixture
def pooler(lab: Lab) -> Iterator[str]:
    """The URL of a PgBouncer before the server of `test_postgres.py`."""
    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE has a pooler: test_postgres.py runs this again")
    found, port = program(), free_port()
    server = urlsplit(os.environ["LAB_DATABASE_URL"]).port
    file = lab.folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(server=server, port=port))
    # PgBouncer refuses to run as root, and pytest's folders are root's alone.
    user: list[str] = []
    if os.geteuid() == 0:
        user = ["runuser", "-u", "postgres", "--"]
        file = Path(shutil.copy(file, f"/tmp/pgbouncer-{port}.ini"))
        file.chmod(0o644)

    process = subprocess.Popen([*user, found, "-q", str(file)], cwd="/")
    try:
        lab.until(lambda: _listens(port), "PgBouncer to listen")
        yield f"postgres://lab@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(10)
        if user:
            file.unlink()


@pytest.fixture
def _limits_of_the_role() -> Iterator[None]:
    """As docs/reference/limits.md says."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE lab SET statement_timeout = '8s'")
        try:
            yield
        finally:
            cursor.execute("ALTER ROLE lab RESET statement_timeout")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.mark.usefixtures("_limits_of_the_role")
def test_jobs_run_behind_a_pooler_of_transactions(lab: Lab, pooler: str) -> None:
    from offload.access.models import ApiToken

    with psycopg.connect(pooler) as through:
        assert through.execute("SHOW statement_timeout").fetchone() == ("8s",)

    lab.redis()
    environment = {"DATABASE_URL": pooler, "DATABASE_POOLER": "1"}
    lab.worker(**environment)
    lab.web(**environment)
    _, token = ApiToken.make("lab")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=lab.address, headers=headers, timeout=60, trust_env=False) as api:
        whole = api.post("/api/lab/whole", json={"logs": ["/dev/null"] * 8, "units": 1})
        body = {"log": str(lab.folder / "executions"), "units": 2}
        jobs = [api.post("/api/lab/burn", json=body) for _ in range(20)]
        long = api.post("/api/lab/burn", json=body | {"gate": str(lab.gate)})
        for answer in [whole, *jobs]:
            assert answer.status_code == 202, answer.text
            location = answer.headers["location"]

            def succeeded(location: str = location) -> bool:
                found = api.get(location, headers={"Prefer": "wait=10"}).json()["status"]
                return bool(found == "succeeded")

            lab.until(succeeded, "the job to succeed")
        assert api.delete(long.headers["location"]).status_code == 202
        lab.until(
            lambda: api.get(long.headers["location"]).json()["status"] == "cancelled", "the cancel"
        )
        lab.until(lambda: api.get("/health/ready").status_code == 200, "the readiness")
    assert "prepared statement" not in lab.log("worker") + lab.log("web")
