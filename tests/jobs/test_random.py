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


WORKERS = ("first", "second")


class Faults:
    """What an unlucky life brings, drawn by seeded dice."""

    def __init__(self, lab: Lab, dice: random.Random) -> None:
        self.lab = lab
        self.dice = dice
        self.happened: list[str] = []

    def happen(self) -> None:
        """One fault. A killed process of a worker is twice as likely as each other one."""
        fault = self.dice.choice(
            [
                self.kill_child,
                self.kill_child,
                self.kill_worker,
                self.deploy,
                self.restart_redis,
                self.empty_redis,
            ]
        )
        self.happened.append(fault.__name__)
        fault()

    def kill_child(self) -> None:
        for child in self.lab.children(self.dice.choice(WORKERS))[:1]:
            os.kill(child, signal.SIGKILL)

    def kill_worker(self) -> None:
        name = self.dice.choice(WORKERS)
        self.lab.kill(name)
        self.lab.worker(name, wait=False)

    def deploy(self) -> None:
        name = self.dice.choice(WORKERS)
        self.lab.kill(name, signal.SIGTERM, group=False)
        self.lab.worker(name, wait=False)

    def restart_redis(self) -> None:
        self.lab.kill("redis")
        self.lab.redis()

    def empty_redis(self) -> None:
        self.lab.redis_client().flushall()


def live(lab: Lab, dice: random.Random) -> None:
    """Submit jobs and let faults happen, until the time is over and every job has ended."""
    from offload.jobs.models import Job

    lab.redis()
    for name in WORKERS:
        lab.worker(name)

    faults, jobs = Faults(lab, dice), 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for _ in range(4):
            lab.submit(dice.choice(["lab.burn", "lab.silent"]), units=dice.randint(1, 30))
            jobs += 1
        if dice.random() < 0.4:
            faults.happen()
        time.sleep(dice.uniform(0.1, 0.5))

    mine = Job.objects.filter(owner="lab")
    lab.until(
        lambda: not mine.filter(status__in=("queued", "running")).exists(),
        "every job to end",
        SECONDS * 4 + 120,
    )
    print(f"{jobs} jobs, {len(faults.happened)} faults: {', '.join(faults.happened)}")


@pytest.mark.timeout(SECONDS * 4 + 300)
def test_an_unlucky_life_loses_nothing(lab: Lab) -> None:
    """Every accepted job ends once with the right result; each of its executions is an attempt or
    was handed back.
    """
    from offload.jobs.models import Job

    print(f"seed {SEED}: repeat with LAB_SEED={SEED}")
    live(lab, random.Random(SEED))

    right = {
        units: sum(sum(i * i for i in range(100_000)) % 7 for _ in range(units))
        for units in range(31)
    }
    for row in Job.objects.filter(owner="lab"):
        # A process may die under a job three times; the job never fails with fewer attempts.
        if row.status == "failed":
            assert (row.attempts, row.max_attempts) == (3, 3), row.error
            assert "attempt 3 of 3" in row.error
            continue
        assert row.status == "succeeded"
        assert row.result == {"value": right[row.params["units"]]}
        assert 1 <= row.attempts <= lab.executions(row)
        assert lab.executions(row, "end") >= 1
