"""PostgreSQL that is slow, frozen, killed, or out of connections."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress

import psycopg
import pytest
from experiment import Neighbour, again, experiment
from lab import Lab, Submitter
from serving_tests import eventually

# The first experiment starts the lab, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(900)

# The deadline of a request, and some noise. A view that needs the database answers before it.
MAX_ANSWER_SECONDS = 10.0 + 5.0
# The age of the database's last answer at which a process is not ready, and some noise.
MAX_UNREADY_SECONDS = 3.0 + 5.0
# The supervisor looks twice a second, and logs an outage once. (A few, if it ends bit by bit.)
MAX_OUTAGE_LINES = 3
# An outage lasts so long at least, so that readiness can tell of it.
MIN_OUTAGE_SECONDS = 4.0


@contextmanager
def slow(lab: Lab) -> Iterator[None]:
    """Each packet to and from PostgreSQL takes a tenth of a second."""
    lab.signal("proxy", signal.SIGUSR2)
    yield
    lab.signal("proxy", signal.SIGUSR2)


@contextmanager
def frozen(lab: Lab) -> Iterator[None]:
    lab.postgres.freeze()
    yield
    lab.postgres.thaw()


@contextmanager
def killed(lab: Lab) -> Iterator[None]:
    lab.postgres.stop()
    yield
    lab.postgres.start()


@contextmanager
def out_of_connections(lab: Lab) -> Iterator[None]:
    """Others have all connections that the server allows."""
    taken = [connect(lab)]
    try:
        while True:
            with suppress(psycopg.OperationalError):
                taken.append(connect(lab))
                continue
            # None is free. Those that are not ours are ended, and taken next.
            query = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND application_name <> 'attack'"
            )
            row = taken[0].execute(query).fetchone()
            if row == (0,):
                break
        yield
    finally:
        for connection in taken:
            connection.close()


def connect(lab: Lab) -> psycopg.Connection:
    return psycopg.connect(lab.postgres.url, application_name="attack", autocommit=True)


def took(holds: Callable[[], bool]) -> float:
    """How long it takes until something holds, in seconds."""
    begun = time.monotonic()
    eventually(holds, "what was waited for")
    return time.monotonic() - begun


Fault = Callable[[Lab], AbstractContextManager[None]]
# What is tried, how, and whether the database can still answer in time.
FAULTS: dict[str, tuple[Fault, bool]] = {
    "PostgreSQL that is slow (0.1 s a packet)": (slow, True),
    "PostgreSQL frozen (SIGSTOP)": (frozen, False),
    "PostgreSQL killed, and started again": (killed, False),
    "PostgreSQL out of connections": (out_of_connections, False),
}


@pytest.mark.parametrize("tried", FAULTS)
def test_a_database_that_fails_is_a_503_in_time_and_harms_nobody_else(
    lab: Lab, seconds: float, tried: str
) -> None:
    fault, answers = FAULTS[tried]
    statuses: Counter[int] = Counter()
    longest = 0.0

    def query() -> None:
        nonlocal longest
        answer = lab.get("/api/jobs")
        statuses[answer.status_code] += 1
        longest = max(longest, answer.elapsed.total_seconds())
        assert answer.status_code == 200 or int(answer.headers["Retry-After"]) > 0, answer.text

    neighbour = Neighbour.of(lab.web, "/api/ping")
    logged = len(lab.worker.log.read_bytes())
    with experiment(tried, neighbour, lab.web, lab.worker, may_keep=16) as it:
        with Submitter(lab) as submitter, ThreadPoolExecutor(1) as thread:
            with fault(lab):
                told = thread.submit(took, lambda: answers or lab.ready()[0] == 503)
                again(query, max(3 * seconds, MIN_OUTAGE_SECONDS))
                unready = told.result()
            recovered = took(lambda: lab.get("/api/jobs").status_code == 200)
            took(lambda: lab.ready()[0] == 200)
        it.counted["accepted jobs"] = len(submitter.job_ids)
        it.lost += lab.lost(submitter.job_ids)
    assert set(submitter.refused) <= {503}
    assert set(statuses) <= ({200} if answers else {200, 503})
    assert longest < MAX_ANSWER_SECONDS
    assert unready < MAX_UNREADY_SECONDS
    log = lab.worker.log.read_bytes()[logged:].decode()
    assert log.count("leases are not renewed") <= MAX_OUTAGE_LINES
    it.seen = (
        f"views that query: {statuses[200]} times 200, {statuses[503]} times 503, after "
        f"{longest:.1f} s at most; recovery {recovered:.1f} s"
        + ("" if answers else f"; not ready after {unready:.1f} s")
    )
