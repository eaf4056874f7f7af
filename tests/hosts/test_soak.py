"""A soak: clients ask, submit, wait, watch, cancel and leave, at the limits, and nothing grows.

`SOAK_SECONDS` is how long (`make soak`). The load is a process of its own (`soak_load.py`).
Nothing here fails because something was slow.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from host_network import TESTS_ADDRESS

from .cluster import NAME, WEBS, WORKERS, Cluster
from .soak_load import Plan
from .soaked import MemorySamples, held

HERE = Path(__file__).parent
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
# Before anything is compared: caches, pools and code that runs for the first time.
WARM_UP_SECONDS = min(max(SECONDS / 6, 10.0), 60.0)
CLIENTS = 32
# The load may end its last things so much later.
GRACE_SECONDS = 240
PORT = 9000
MB = 1024 * 1024
# What a mean process may grow by while it is loaded. A leak of 4 kB a request is more in a minute.
#
# In 20 minutes a web process grows by 2 to 4 MB, by what fills and is bounded. Nearly all is
# pydantic's cache of the texts in JSON that it has read, such as the names of the jobs here: 16,384
# of them, 1.8 MB. 1000 kept pauses of the garbage collector are 0.24 MB. Measured with one process,
# in objects of Python's allocator (`sys.getallocatedblocks()`) per 1000 things done: 364 more, and
# 84 with that cache off (`cache_strings="none"`); 120,000 texts that differ fill 16,394 blocks, and
# the last 80,000 of them 17. What the C library has free is 2 MB all the time, and a `malloc_trim`
# gives 0.2 MB back: memory is not fragmented.
GROWTH_BYTES = 12 * MB
# What may be more afterwards: pools keep between their least and their most.
SPARE_SHARE, SPARE = 0.2, 6
# Python objects that may be more for each thing that was done: a leak is one or more.
OBJECTS_PER_THING = 0.1


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with limits that the clients reach, and an upstream outside."""
    outside = [sys.executable, str(HERE / "outside.py"), TESTS_ADDRESS, str(PORT)]
    usual = cluster.environment
    cluster.environment = usual | {
        "SMALL_LIMITS": "1",
        "OUTSIDE": f"http://{TESTS_ADDRESS}:{PORT}",
    }
    with subprocess.Popen(outside) as process:
        try:
            _restart_webs(cluster)
            yield cluster
        finally:
            process.kill()
            cluster.environment = usual
    _restart_webs(cluster)


def _restart_webs(cluster: Cluster) -> None:
    for name in WEBS:
        cluster.stop(name)
        cluster.start_web(name)


def _load(cluster: Cluster, prefix: str, seconds: float) -> dict[str, Any]:
    """Run the load to its end; its `Summary`."""
    plan = Plan(
        seconds=seconds,
        clients=CLIENTS,
        # The other proxy has times of one second, which a busy machine passes.
        proxies=[cluster.url_of("proxy")],
        webs=[cluster.url_behind(name) for name in WEBS],
        name=NAME,
        token=cluster.token,
        log=str(cluster.folder / f"{prefix}-executions"),
        gate=str(cluster.folder / "never"),
        prefix=prefix,
    )
    file = cluster.folder / f"{prefix}.json"
    file.write_text(json.dumps(asdict(plan)))
    command = [sys.executable, str(HERE / "soak_load.py"), str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps({key: found[key] for key in ("answers", "streams", "left")}, indent=1))
    return found


def _wait_until_none_waits(cluster: Cluster) -> None:
    query = "SELECT count(*) FROM offload_job WHERE finished_at IS NULL"
    cluster.until(lambda: cluster.postgres.ask(query) == [(0,)], "the end of all jobs")


def _rows(cluster: Cluster, prefix: str) -> dict[str, tuple[str, str, int]]:
    """Id, status and attempts of the jobs of a load, by name."""
    query = (
        "SELECT params ->> 'name', id::text, status, attempts FROM offload_job"
        " WHERE params ->> 'name' LIKE %s"
    )
    rows = cluster.postgres.ask(query, f"{prefix}-%")
    assert len({row[0] for row in rows}) == len(rows), "a job was accepted twice"
    return {name: (job_id, status, attempts) for name, job_id, status, attempts in rows}


def _assert_accounted_for(cluster: Cluster, prefix: str, accepted: dict[str, str]) -> None:
    """Each accepted job has ended, and was executed as often as its row says, at most once."""
    rows = _rows(cluster, prefix)
    lost = {name for name, job_id in accepted.items() if rows.get(name, ("",))[0] != job_id}
    assert not lost

    lines = (cluster.folder / f"{prefix}-executions").read_text().splitlines()
    counts = Counter(tuple(line.split()[:2]) for line in lines)
    wrong = {}
    for name, (_, status, attempts) in rows.items():
        begun, ended = counts["start", name], counts["end", name]
        if status == "succeeded":
            right = (attempts, begun, ended) == (1, 1, 1)
        else:
            # A job that was cancelled may have been claimed, and not have begun.
            right = status == "cancelled" and begun <= attempts <= 1
        if not right:
            wrong[name] = (status, attempts, begun, ended)
    assert not wrong
    assert {name for _, name in counts} <= set(rows)
    states = Counter(status for _, status, _ in rows.values())
    print(f"{len(accepted)} jobs were answered 202; {len(rows)} rows: {dict(states)}")


@pytest.mark.timeout(SECONDS * 1.5 + 900)
def test_nothing_grows_and_nothing_is_lost_at_the_limits(small: Cluster) -> None:
    warm = _load(small, "warm", WARM_UP_SECONDS)
    _wait_until_none_waits(small)
    before = held(small)
    with MemorySamples(max(SECONDS / 200, 1.0)) as memory:
        found = _load(small, "soak", SECONDS)
    _wait_until_none_waits(small)

    for summary in (warm, found):
        assert not summary["faults"]
        statuses = {answer.partition(" ")[2] for answer in summary["answers"]}
        assert statuses <= {"200", "202", "429", "503"}, summary["answers"]
    answered = {answer.partition(" ")[2] for answer in found["answers"]}
    assert answered & {"429", "503"}, "the limits were not reached"
    _assert_accounted_for(small, "soak", found["accepted"])

    done = sum(found["answers"].values()) + sum(found["left"].values())
    most = {
        name: count + done * OBJECTS_PER_THING
        if name.endswith("objects")
        else count * (1 + SPARE_SHARE) + SPARE
        for name, count in before.items()
    }
    after: dict[str, int] = {}

    def flat() -> bool:
        after.update(held(small))
        return all(count <= most.get(name, SPARE) for name, count in after.items())

    try:
        small.until(flat, "the end of what the load needed")
    finally:
        for name in sorted(after):
            print(f"{name}: {before.get(name, 0)} -> {after[name]}")
    growths = {name: memory.growth(name) for name in (*WEBS, *WORKERS)}
    for name, growth in growths.items():
        print(f"{name}: {memory.sizes(name)} MB, by the slope {growth / MB:+.2f} MB")
    assert max(growths.values()) < GROWTH_BYTES, growths
