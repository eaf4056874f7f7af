"""A minute of an unlucky life: kills at random, seeded, and the same invariants at its end."""

import os
import random
import signal
import time

import pytest

from .conftest import Lab

# 300 for a long one.
SECONDS = float(os.environ.get("LAB_SECONDS", "20"))
SEED = int(os.environ.get("LAB_SEED", "0")) or random.randrange(10**6)


@pytest.mark.timeout(SECONDS * 4 + 300)
def test_an_unlucky_life_loses_nothing(lab: Lab) -> None:
    """Every accepted job ends once with the right result; each of its executions is an attempt or
    was handed back.
    """
    from offload.jobs.models import Job

    print(f"seed {SEED}: repeat with LAB_SEED={SEED}")
    dice = random.Random(SEED)
    names = ["first", "second"]

    def kill_child() -> None:
        for child in lab.children(dice.choice(names))[:1]:
            os.kill(child, signal.SIGKILL)

    def kill_worker() -> None:
        name = dice.choice(names)
        lab.kill(name)
        lab.worker(name, wait=False)

    def deploy() -> None:
        name = dice.choice(names)
        lab.kill(name, signal.SIGTERM, group=False)
        lab.worker(name, wait=False)

    def restart_redis() -> None:
        lab.kill("redis")
        lab.redis()

    def empty_redis() -> None:
        lab.redis_client().flushall()

    lab.redis()
    for name in names:
        lab.worker(name)
    jobs, faults = [], []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        jobs += [
            lab.submit(dice.choice(["lab.burn", "lab.silent"]), units=dice.randint(1, 30))
            for _ in range(4)
        ]
        if dice.random() < 0.4:
            fault = dice.choice(
                [kill_child, kill_child, kill_worker, deploy, restart_redis, empty_redis]
            )
            faults.append(fault.__name__)
            fault()
        time.sleep(dice.uniform(0.1, 0.5))
    mine = Job.objects.filter(owner="lab")
    lab.until(
        lambda: not mine.filter(status__in=("queued", "running")).exists(),
        "every job to end",
        SECONDS * 4 + 120,
    )
    print(f"{len(jobs)} jobs, {len(faults)} faults: {', '.join(faults)}")
    right = {
        units: sum(sum(i * i for i in range(100_000)) % 7 for _ in range(units))
        for units in range(31)
    }
    for row in mine:
        # Three times in one unlucky life; never without its attempts.
        if row.status == "failed":
            assert (row.attempts, row.max_attempts) == (3, 3), row.error
            assert "attempt 3 of 3" in row.error
            continue
        assert row.status == "succeeded"
        assert row.result == {"value": right[row.params["units"]]}
        assert 1 <= row.attempts <= lab.executions(row)
        assert lab.executions(row, "end") >= 1
