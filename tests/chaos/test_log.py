"""Nobody reads the logs of the web process and of the worker."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from experiment import Neighbour, experiment
from lab import Lab, Submitter
from serving_tests import eventually

# The first experiment starts the lab, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(900)

# Each line of the log names its path. The longest ones that are not refused fill the backlog of
# 4 MB with some 520 requests.
PATH = "/api/" + 8_000 * "x"
# Requests, for each second of the attack.
REQUESTS = 1000


def test_a_log_that_nobody_reads_delays_nobody_and_says_what_is_missing(
    lab: Lab, seconds: float
) -> None:
    statuses: Counter[int] = Counter()

    def ask(number: int) -> None:
        statuses[lab.get(f"{PATH}/{number}").status_code] += 1

    logged = len(lab.web.log.read_bytes())
    neighbour = Neighbour.of(lab.web, "/api/ping")
    with experiment("logs that nobody reads", neighbour, lab.web, lab.worker, may_keep=8) as it:
        with (
            lab.web_log.unread(),
            lab.worker_log.unread(),
            Submitter(lab, 0.01) as submitter,
            ThreadPoolExecutor(4) as clients,
        ):
            for _ in clients.map(ask, range(round(REQUESTS * seconds))):
                pass
        it.counted["requests with a long line"] = statuses.total()
        it.counted["accepted jobs"] = len(submitter.job_ids)
        it.lost += statuses.total() - statuses[404] + lab.lost(submitter.job_ids)

        def accounted() -> bool:
            log = lab.web.log.read_bytes()[logged:].decode()
            written = log.count(PATH)
            missing = sum(map(int, re.findall(r"(\d+) lines of the log are missing", log)))
            it.seen = f"{missing} lines of the log were dropped, and the log says so"
            return written + missing >= statuses.total()

        eventually(accounted, "a log that accounts for every request")
    assert submitter.refused == []
