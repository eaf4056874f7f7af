"""PostgreSQL that is frozen, away, slow or out of connections: a 503 in time, and then recovery."""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest
from conftest import (
    SERVICE,
    TIMEOUT_SECONDS,
    Server,
    environment,
    eventually,
    migrate,
    once,
    running,
    small_postgres,
    web_process,
)
from postgresql_server import Postgres

from offload.postgresql.bounded_connection import BoundedConnection

pytestmark = once
# The service's own deadline for a request.
DEADLINE_SECONDS = 10
# docs/production.md, "Connections of the database": 3, and two times `max_request_connections`.
WEB_CONNECTIONS = 3 + 20 + 20


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """One server for the tests of this file, which leave it running."""
    with small_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def baked(
    service: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A generated service on PostgreSQL."""
    token, folder = migrate(service, postgres.url), tmp_path_factory.mktemp("postgres")
    with web_process(service, folder, token, {"DATABASE_URL": postgres.url}) as server:
        yield server


def test_the_engine_needs_no_setting_that_django_has_a_default_for(postgres: Postgres) -> None:
    """As in a service that names it by hand: only dj-database-url writes all settings."""
    code = """
import sys
from django.conf import settings
from django.db import connection

settings.configure(DATABASES={"default": {
    "ENGINE": "offload.postgresql", "NAME": "postgres", "USER": "lab", "HOST": "127.0.0.1",
    "PORT": sys.argv[1],
}})
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
"""
    command = [sys.executable, "-c", code, str(postgres.port)]
    ran = subprocess.run(
        command, cwd=SERVICE, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def jobs(baked: Server) -> httpx.Response:
    """A request that queries."""
    return baked.get(
        "/api/jobs", headers={"Authorization": f"Bearer {baked.token}"}, trust_env=False
    )


def assert_refused(answers: list[httpx.Response]) -> None:
    """Each is a 503 that says when to come again."""
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/problem+json"}


def test_a_frozen_postgresql_is_a_503_within_the_deadline(
    baked: Server, postgres: Postgres
) -> None:
    with ThreadPoolExecutor(30) as clients:
        before = list(clients.map(lambda _: jobs(baked), range(30)))
        assert {answer.status_code for answer in before} == {200}
        postgres.freeze()
        try:
            started = time.monotonic()
            answers = list(clients.map(lambda _: jobs(baked), range(30)))
            took = time.monotonic() - started
        finally:
            postgres.thaw()
    assert_refused(answers)
    assert took < DEADLINE_SECONDS
    eventually(lambda: jobs(baked).status_code == 200, "the recovery")


def test_an_attempt_to_connect_to_a_frozen_server_leaves_no_socket_open(postgres: Postgres) -> None:
    """After the freeze the server would accept each of them. The collector comes later, if ever."""
    gc.disable()
    postgres.freeze()
    try:
        with pytest.raises(psycopg.OperationalError):
            BoundedConnection.connect(postgres.url, connect_timeout=2)
        open_sockets = psutil.Process().net_connections(kind="tcp")
    finally:
        postgres.thaw()
        gc.enable()
    assert [each for each in open_sockets if each.raddr and each.raddr.port == postgres.port] == []


def test_a_query_that_hangs_in_a_frozen_server_is_a_503_within_the_deadline(
    service: Path, baked: Server, postgres: Postgres
) -> None:
    """The connection was checked before the freeze, so the limit of an answer has to end it."""
    code = (
        "import django; django.setup(); import time; from django.db import connection; "
        "cursor = connection.cursor(); cursor.execute('SELECT 1'); print('ready', flush=True); "
        "input(); begun = time.monotonic()\n"
        "try: cursor.execute('SELECT 1')\n"
        "except Exception as error: print(type(error).__name__, time.monotonic() - begun)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=baked.environment | {"DATABASE_STATEMENT_TIMEOUT": "1"},
        cwd=service,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        postgres.freeze()
        try:
            said = process.communicate("\n", timeout=TIMEOUT_SECONDS)[0].split()
        finally:
            postgres.thaw()
    assert said[0] == "OperationalError"
    assert float(said[1]) < DEADLINE_SECONDS


def test_without_a_database_each_request_is_a_503_with_one_line_and_no_traceback(
    baked: Server, postgres: Postgres
) -> None:
    log = baked.log
    seen = len(log.read_text())
    postgres.stop()
    try:
        answers = [jobs(baked) for _ in range(5)]
        page = baked.get("/admin/login/", cookies={"sessionid": "x" * 32})
        page_that_queries = baked.get("/admin/", cookies={"sessionid": "x" * 32})
    finally:
        postgres.start()
    assert_refused([*answers, page_that_queries])
    assert page.status_code in (200, 503)
    said = log.read_text()[seen:]
    assert "Traceback" not in said
    assert said.count("so a request is answered 503") in (6, 7)
    eventually(lambda: jobs(baked).status_code == 200, "the recovery")


def test_a_slow_database_is_not_given_more_connections_than_the_ceiling(
    directory: Path, postgres: Postgres
) -> None:
    """Thirty slow queries at once: others can still connect, and nothing is a 500."""
    with serving_project(directory, postgres, SERVING_TEST_CONNECTIONS="10") as server:
        with ThreadPoolExecutor(30) as clients:
            slow = [clients.submit(server.get, "/api/slow_query?seconds=1") for _ in range(30)]
            most = 0
            while not all(request.done() for request in slow):
                most = max(most, connections_of(server, postgres))
                time.sleep(0.05)
        statuses = [request.result().status_code for request in slow]
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 10
        assert 0 < most <= 10
        eventually(
            lambda: server.get("/api/slow_query?seconds=0").status_code == 200, "the recovery"
        )


@contextmanager
def locked_tables(postgres: Postgres) -> Iterator[None]:
    """Each query of a request waits."""
    with psycopg.connect(postgres.url) as owner:
        owner.execute("LOCK TABLE offload_job, django_session IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def frozen(postgres: Postgres) -> Iterator[None]:
    """Each attempt to connect ends after 2 s, when the requests are in the slow-request log."""
    postgres.freeze()
    try:
        yield
    finally:
        postgres.thaw()


@pytest.mark.parametrize(
    ("without_answers", "told"),
    [(locked_tables, "The database ended a query"), (frozen, "The database does not answer")],
)
def test_a_web_process_has_the_connections_of_the_page_at_most(
    baked: Server,
    postgres: Postgres,
    without_answers: Callable[[Postgres], AbstractContextManager[None]],
    told: str,
) -> None:
    """More requests than threads wait for the database. docs/production.md has the sum."""
    session = {"Cookie": "sessionid=" + "a" * 32}
    with ThreadPoolExecutor(60) as clients, without_answers(postgres):
        asked = [clients.submit(jobs, baked) for _ in range(30)]
        asked += [clients.submit(baked.get, "/admin/", headers=session) for _ in range(30)]
        most = 0
        # Without an answer of the database, requests end with a 503 after some seconds.
        while not all(request.done() for request in asked):
            most = max(most, connections_of(baked, postgres))
            time.sleep(0.05)
    answers = [request.result() for request in asked]
    assert {answer.status_code for answer in answers} <= {200, 302, 503}
    # Others waited for a thread or a connection alone.
    assert sum(told in answer.text for answer in answers) >= 20
    # Threads of both kinds: on a slow machine they are not all there at one time.
    assert 20 + 3 < most <= WEB_CONNECTIONS
    eventually(lambda: jobs(baked).status_code == 200, "the recovery")


def test_a_request_without_a_connection_says_that_all_are_in_use(
    directory: Path, postgres: Postgres
) -> None:
    with (
        serving_project(directory, postgres, SERVING_TEST_CONNECTIONS="1") as server,
        ThreadPoolExecutor() as clients,
    ):
        first = clients.submit(server.get, "/api/slow_query?seconds=6")
        eventually(lambda: connections_of(server, postgres) == 1, "the first query")
        second = server.get("/api/slow_query?seconds=0")
        assert_refused([second])
        assert "All database connections are in use" in second.json()["detail"]
        assert first.result().status_code == 200


def test_a_kept_connection_is_given_up_for_a_thread_that_waits_for_one(
    directory: Path, postgres: Postgres
) -> None:
    with serving_project(directory, postgres, SERVING_TEST_CONNECTIONS="1") as server:
        with ThreadPoolExecutor(8) as clients:
            path = "/api/slow_query?seconds=0.05"
            answers = list(clients.map(lambda _: server.get(path), range(16)))
        assert {answer.status_code for answer in answers} == {200}


def connections_of(server: Server, postgres: Postgres) -> int:
    """How many connections to PostgreSQL this one server has."""
    port = urlsplit(postgres.url).port
    sockets = psutil.Process(server.process.pid).net_connections(kind="tcp")
    return sum(bool(socket.raddr) and socket.raddr.port == port for socket in sockets)


def serving_project(
    directory: Path, postgres: Postgres, **more: str
) -> AbstractContextManager[Server]:
    """The test project on PostgreSQL."""
    env = {"DATABASE_URL": postgres.url, **more}
    code = (
        "import django; django.setup(); from django.core.management import call_command; "
        "call_command('migrate', verbosity=0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(directory) | env)
    return running(directory, (), True, env)
