"""The queues that `jobs.py` measures: how each is installed, set up and started."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / "build" / "peers"
PACKAGES = ("celery[redis]", "psycopg[binary]", "procrastinate", "django-tasks", "django-tasks-db")


@dataclass(frozen=True)
class Queue:
    """One queue that is measured.

    Args:
        module: of `jobs_apps`; it submits.
        settings: Django's, of `jobs_apps`.
        worker: the arguments of Python that start the worker with so many processes.
        setups: the arguments of Python that make its tables.
        table: where finished jobs stay; empty: nowhere.
        changed: SQL of the columns that a copied row does not share, by the kind of database.
    """

    module: str
    worker: Callable[[int], list[list[str]]]
    settings: str = ""
    setups: tuple[list[str], ...] = ()
    table: str = ""
    changed: dict[str, dict[str, str]] = field(default_factory=dict)


# A week of finished rows, as they lie in a service that has run for so long.
AGO = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n % 600000 + 120) || ' seconds')",
    "postgresql": "now() - (n % 600000 + 120) * interval '1 second'",
}
LATER = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '+' || (n % 600000 + 7200) || ' seconds')",
    "postgresql": "now() + (n % 600000 + 7200) * interval '1 second'",
}
NEW_ID = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}
SERIES = {
    "sqlite": "(WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series "
    "LIMIT {rows}) SELECT n FROM series) AS numbers",
    "postgresql": "generate_series(1, {rows}) AS numbers(n)",
}


def _changed(vendor: str, *ago: str, **other: str) -> dict[str, str]:
    return {"id": NEW_ID[vendor], **dict.fromkeys(ago, AGO[vendor]), **other}


QUEUES = {
    "ours": Queue(
        "our_queue",
        lambda processes: [["-m", "offload.jobs", "-Q", "cpu,default", "-c", f"{processes}"]],
        settings="our_settings",
        setups=(["-m", "django", "migrate", "--verbosity", "0"],),
        table="offload_job",
        changed={
            vendor: _changed(vendor, "started_at", "finished_at", expires_at=LATER[vendor])
            for vendor in SERIES
        },
    ),
    "Celery": Queue(
        "celery_queue",
        lambda processes: [
            ["-m", "celery", "-A", "jobs_apps.celery_queue", "worker", "-c", f"{processes}"]
        ],
    ),
    "procrastinate": Queue(
        "procrastinate_queue",
        lambda processes: (
            [["-m", "procrastinate", "-a", "jobs_apps.procrastinate_queue.app", "worker"]]
            * processes
        ),
        setups=(
            ["-m", "procrastinate", "-a", "jobs_apps.procrastinate_queue.app", "schema", "--apply"],
        ),
        table="procrastinate_jobs",
        # Its number comes from a sequence.
        changed={"postgresql": {}},
    ),
    "django-tasks": Queue(
        "tasks_queue",
        lambda processes: [["-m", "django", "db_worker", "--no-startup-delay"]] * processes,
        settings="tasks_settings",
        setups=(["-m", "django", "migrate", "--verbosity", "0"],),
        table="django_tasks_database_dbtaskresult",
        changed={
            vendor: _changed(vendor, "enqueued_at", "started_at", "finished_at")
            for vendor in SERIES
        },
    ),
}


def python_of(name: str) -> str:
    """The service has the template's environment, the peers have theirs."""
    return sys.executable if name == "ours" else str(PEERS / "bin" / "python")


def install_peers() -> None:
    """Install the peers into build/peers, once."""
    python = PEERS / "bin" / "python"
    imports = "import celery, django_tasks, django_tasks_db, procrastinate, psycopg, redis"
    if python.exists() and not subprocess.run([python, "-c", imports], check=False).returncode:
        return
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    try:
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        subprocess.run(pip, check=True)
    except subprocess.CalledProcessError:
        sys.exit(f"the peers are not installed: make {PEERS} with {', '.join(PACKAGES)}")
