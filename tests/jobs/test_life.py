"""A random life: seeded faults, two callers, and an account of every job at its end.

`make life SEED=1 MINUTES=20` lives it on PostgreSQL.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from postgresql_server import postgres_server, programs_or_skip

from .conftest import ROOT, Lab
from .life.account import Account
from .life.callers import Callers
from .life.faults import LEASE, Faults, draw

POSTGRESQL = "LAB_DATABASE_URL" in os.environ
SEED = int(os.environ.get("LAB_SEED", "20261126"))
SECONDS = float(os.environ.get("LAB_SECONDS", "40" if POSTGRESQL else "20"))
# Seconds between two requests of a caller: what two shared cores can compute meanwhile.
PAUSE_SECONDS = (0.1, 0.8) if POSTGRESQL else (0.2, 1.0)
# Seconds that the jobs have to end after the last fault. Most is the backlog.
PATIENCE_SECONDS = SECONDS * 4 + 240

pytestmark = pytest.mark.timeout(SECONDS * 6 + 600)


def live(lab: Lab, faults: Faults, callers: Callers) -> None:
    """Let what the dice have drawn happen, heal it, and wait until every job has ended."""
    from offload.jobs.models import Job, Worker

    lab.until(lambda: Worker.objects.count() == len(faults.workers), "the workers", 120)
    callers.start()
    begun = time.monotonic()
    for fault in draw(random.Random(SEED), SECONDS, POSTGRESQL):
        while time.monotonic() < begun + fault.at:
            faults.heal()
            time.sleep(0.05)
        faults.happen(fault)

    def enough() -> bool:
        faults.heal()
        return len(callers.accepted) >= SECONDS / 2

    # A slow machine needs longer for them.
    lab.until(enough, "enough jobs to be accepted")
    callers.stop()

    faults.heal(everything=True)
    unfinished = Job.objects.exclude(kind="lab.tick").filter(status__in=("queued", "running"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while unfinished.exists() and time.monotonic() < deadline:
        faults.heal(everything=True)
        time.sleep(0.5)


def test_a_random_life_accounts_for_every_job(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.access.models import ApiToken
    from offload.jobs.models import Job

    print(f"seed {SEED}: repeat with `make life SEED={SEED} MINUTES={SECONDS / 60:g}`")
    monkeypatch.setenv("LAB_LEASE", str(LEASE))
    lab.redis()
    faults = Faults(lab, *((4, 2) if POSTGRESQL else (2, 1)))
    _, token = ApiToken.make("lab")
    callers = Callers(lab.folder, list(faults.ports.values()), token, SEED, PAUSE_SECONDS)
    try:
        live(lab, faults, callers)
        account = Account(lab, callers, faults)
        print(account.summary())
        wrong = account.faults_found()
        assert not wrong, f"seed {SEED}, {len(wrong)} faults\n" + "\n".join(wrong[:5])
        assert Job.objects.filter(kind="lab.tick", status="succeeded").exists()
    finally:
        callers.stop()
        faults.end()


@pytest.mark.skipif(POSTGRESQL, reason="this is the run on PostgreSQL")
def test_a_random_life_on_postgresql() -> None:
    outside = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "pytest", str(Path(__file__)), "-q", "-s"]
    programs = programs_or_skip("no random life was led on it")
    with postgres_server(programs) as database:
        ran = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=ROOT,
            env=outside | database.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    print(ran.stdout[-3000:] if ran.returncode == 0 else "")
    assert ran.returncode == 0, ran.stdout
