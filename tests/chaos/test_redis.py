"""Redis that is frozen, killed, or replaced by something that talks nonsense."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import httpx
import pytest
from experiment import Neighbour, experiment
from lab import Lab, Submitter
from nonsense import NONSENSE, Nonsense
from serving_tests import TIMEOUT_SECONDS, eventually

# The first experiment starts the lab, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(900)

# Redis's own types and errors, with values that none has.
PARSERS_FAIL_AT = (b":abc\r\n", b"$x\r\n", b",1.x\r\n", b"-MOVED x\r\n", b"*2\r\n" * 2000)
# An outage lasts so long at least, so that the event streams and readiness can tell of it.
MIN_OUTAGE_SECONDS = 3.0
# A submit waits for no broker. (On a busy machine it waits for a core.)
MAX_SUBMIT_SECONDS = 10.0


@contextmanager
def frozen(lab: Lab) -> Iterator[None]:
    lab.signal("redis", signal.SIGSTOP)
    try:
        yield
    finally:
        lab.signal("redis", signal.SIGCONT)


@contextmanager
def killed(lab: Lab) -> Iterator[None]:
    """It comes back empty."""
    lab.kill("redis")
    try:
        yield
    finally:
        lab.start_redis()


@contextmanager
def nonsense(lab: Lab, answers: Sequence[bytes] = NONSENSE) -> Iterator[None]:
    lab.kill("redis")
    impostor = Nonsense(lab.redis_port, answers)
    try:
        yield
    finally:
        impostor.close()
        lab.start_redis()
    assert impostor.answers


class Stream:
    """Reads the events of a job in a thread."""

    def __init__(self, lab: Lab, job_id: str) -> None:
        self.lines: list[str] = []
        self._url = f"{lab.web.url}/api/jobs/{job_id}/events"
        self._headers = {"Authorization": f"Bearer {lab.token}"}
        threading.Thread(target=self._read, daemon=True).start()
        eventually(lambda: self.lines, "the first event")

    def _read(self) -> None:
        options: dict[str, Any] = {"timeout": 2 * TIMEOUT_SECONDS, "verify": False}
        with (
            suppress(httpx.TransportError),
            httpx.stream("GET", self._url, headers=self._headers, **options) as stream,
        ):
            for line in stream.iter_lines():
                self.lines.append(line)

    def saw(self, event: str) -> bool:
        """Whether there was such an event."""
        return f"event: {event}" in self.lines


FAULTS: dict[str, Callable[[Lab], AbstractContextManager[None]]] = {
    "Redis frozen (SIGSTOP)": frozen,
    "Redis killed, and started again empty": killed,
    "a server in place of Redis that talks nonsense": nonsense,
}


@pytest.mark.parametrize("tried", FAULTS)
def test_without_redis_submits_are_accepted_and_event_streams_go_on(
    lab: Lab, seconds: float, tried: str
) -> None:
    outage = max(3 * seconds, MIN_OUTAGE_SECONDS)
    neighbour = Neighbour.of(lab.web, "/api/ping")
    with experiment(tried, neighbour, lab.web, lab.worker, may_keep=16) as it:
        # It ends during the outage.
        running = lab.get(f"/api/nap?seconds={outage / 2}").json()["id"]
        eventually(lambda: lab.states_of([running]) == ["running"], "a job that runs")
        stream = Stream(lab, running)
        with Submitter(lab) as submitter:
            with FAULTS[tried](lab):
                time.sleep(outage)
                eventually(lambda: stream.saw("succeeded"), "the end of the stream")
                eventually(lambda: not lab.ready()[1]["broker"], "a report that tells of it")
                assert lab.ready()[0] == 200, "without a broker the process can serve"
                assert lab.get("/health/dependencies").status_code == 503
            eventually(lambda: lab.ready()[1]["broker"], "the recovery")
            eventually(lambda: lab.ready()[1]["events"], "the recovery of the events")
        it.counted["accepted jobs"] = len(submitter.job_ids)
        it.lost += lab.lost([running, *submitter.job_ids])
    assert submitter.refused == []
    assert submitter.longest < MAX_SUBMIT_SECONDS
    assert lab.worker.process.poll() is None, "the worker has ended"
    it.seen = (
        f"each submit was answered 202, after {submitter.longest:.1f} s at most; a stream told the "
        "end of its job meanwhile"
    )


def test_a_worker_outlives_every_kind_of_nonsense(lab: Lab, seconds: float) -> None:
    """One kind at a time: what Celery's worker asks while it closes the lost connection gets the
    same answer, and each kind is another error in it.
    """
    lab.ready()  # The lab runs.
    for kind in NONSENSE if seconds > 1 else PARSERS_FAIL_AT:
        with nonsense(lab, (kind,)):
            # Its connection is lost at once, and the next ones after a second each.
            time.sleep(2.5)
        assert lab.worker.process.poll() is None, f"the worker has ended at {kind[:20]!r}"
        eventually(lambda: lab.ready()[1]["broker"], "the recovery")
        assert lab.lost([lab.get("/api/nap").json()["id"]]) == 0
