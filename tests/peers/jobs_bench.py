"""One database with the tables of the queues, and one run of a queue on it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from job_queues import HERE, QUEUES, SERIES, Queue, python_of

# Seconds until a run is given up: it then has fewer jobs.
RUN_TIMEOUT_SECONDS = 60.0
# Rows that one statement inserts.
INSERT_ROWS = 100_000


@dataclass
class Bench:
    """One database, with the tables of the queues.

    Args:
        vendor: `sqlite` or `postgresql`.
        url: of the database.
        folder: has the generated service; logs and counted files come there.
        redis_port: where Redis listens.
    """

    vendor: str
    url: str
    folder: Path
    redis_port: int

    def __post_init__(self) -> None:
        self.queues = [
            name
            for name, queue in QUEUES.items()
            if not queue.table or self.vendor in queue.changed
        ]
        self._files = 0
        self._rows = dict.fromkeys(self.queues, 0)

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a queue's processes."""
        # Celery imports Django's settings where they are named.
        settings = QUEUES[name].settings
        named = {"DJANGO_SETTINGS_MODULE": f"jobs_apps.{settings}"} if settings else {}
        paths = [str(HERE), *([str(self.folder / "risk_desk")] if name == "ours" else [])]
        outside = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        return (
            outside
            | named
            | {
                "PYTHONPATH": ":".join(paths),
                "PEERS_DB": self.url,
                "DATABASE_URL": self.url,
                "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
                "LOG_LEVEL": "WARNING",
                "WORKER_NICE": "0",
                "WORKER_GRACE": "1",
                "DEBUG": "0",
            }
        )

    def start(self, name: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a process of a queue, in a session of its own."""
        with (self.folder / f"{self.vendor}-{name}.log").open("ab") as log:
            return subprocess.Popen(
                [python_of(name), *arguments],
                cwd=self.folder,
                env=self.environment(name),
                stderr=log,
                stdout=options.get("stdout", log),
                start_new_session=True,
                text=True,
            )

    def set_up(self) -> None:
        """Make the tables."""
        for name in self.queues:
            for arguments in QUEUES[name].setups:
                if self.start(name, *arguments).wait(120):
                    sys.exit(f"{name}: {arguments} failed, see {self.folder}")

    @contextmanager
    def workers(self, name: str, processes: int) -> Iterator[list["subprocess.Popen[str]"]]:
        """A queue's workers, with so many processes together."""
        started = [self.start(name, *each) for each in QUEUES[name].worker(processes)]
        try:
            yield started
        finally:
            for process in started:
                # Redis has nothing that a clean end would keep.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def submit(self, name: str, count: int, path: Path, *more: str) -> dict[str, float]:
        """Submit one job, and `count` that are measured."""
        process = self.start(
            name,
            "-m",
            "jobs_apps.submits",
            QUEUES[name].module,
            f"{count}",
            f"{path}",
            *more,
            stdout=subprocess.PIPE,
        )
        output, _ = process.communicate(timeout=RUN_TIMEOUT_SECONDS * 2)
        if process.returncode:
            sys.exit(f"{name}: submits failed, see {self.folder}")
        figures: dict[str, float] = json.loads(output.splitlines()[-1])
        return figures

    def new_path(self) -> Path:
        """A file that does not exist yet."""
        self._files += 1
        return self.folder / f"{self.vendor}-{self._files}"

    def run(self, name: str, processes: int, jobs: int) -> dict[str, float]:
        """Submit and compute so many jobs; CPU in milliseconds, jobs and submits a second."""
        path = self.new_path()
        with self.workers(name, processes) as workers:
            # One job for each process, at least: it imports and connects.
            self.submit(name, 2 * processes, path)
            wait_for(path, 2 * processes + 1)
            before, begun = cpu_of(workers), time.monotonic()
            submitted = self.submit(name, jobs - 1, path)
            done = wait_for(path, 2 * processes + 1 + jobs) - 2 * processes - 1
            took = time.monotonic() - begun
            # The last ends are written after their bytes.
            time.sleep(0.2)
            spent = cpu_of(workers) - before
        return {
            "submit_cpu": submitted["cpu"],
            "submits": submitted["rate"],
            "job_cpu": spent / max(done, 1) * 1000,
            "jobs": done / took,
            "done": done,
        }

    def fill(self, name: str, rows: int) -> None:
        """Copy a finished row until there are so many."""
        queue = QUEUES[name]
        more = rows - self._rows[name]
        if not queue.table or more <= 0:
            return
        with self._session() as execute:
            for statement in self._fillings(execute, queue, more):
                execute(statement)
        self._rows[name] = rows

    def _fillings(self, execute: Any, queue: Queue, rows: int) -> Iterator[str]:
        """The statements that copy a finished row."""
        changed = queue.changed[self.vendor]
        names = [column[0] for column in execute(f"SELECT * FROM {queue.table}").description]
        names = [name for name in names if name in changed or name != "id"]
        values = ", ".join(changed.get(name, f'one."{name}"') for name in names)
        # `then` is a word of SQL.
        quoted = ", ".join(f'"{name}"' for name in names)
        status = "lower(status::text)" if self.vendor == "postgresql" else "lower(status)"
        if self.vendor == "postgresql":
            yield f"ALTER TABLE {queue.table} DISABLE TRIGGER USER"
        for first in range(0, rows, INSERT_ROWS):
            series = SERIES[self.vendor].format(rows=min(INSERT_ROWS, rows - first))
            yield (
                f"INSERT INTO {queue.table} ({quoted}) SELECT {values} FROM "
                f"(SELECT * FROM {queue.table} WHERE {status} LIKE 'succe%' LIMIT 1) AS one, "
                f"{series}"
            )
        if self.vendor == "postgresql":
            yield f"ALTER TABLE {queue.table} ENABLE TRIGGER USER"
            yield f"VACUUM ANALYZE {queue.table}"
        else:
            yield "ANALYZE"

    @contextmanager
    def _session(self) -> Iterator[Callable[[str], Any]]:
        if self.vendor == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as session:
                yield session.execute
            return
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)) as session:
            session.isolation_level = None
            yield session.execute

    def recovery(self) -> float:
        """Seconds from the death of the service's worker until its job is computed again."""
        path = self.new_path()
        with self.workers("ours", 1), ExitStack() as stack:
            with self.workers("ours", 1):
                # Both workers have a job of 60 s.
                self.submit("ours", 1, path, "60")
                wait_for(path, 2)
                stack.enter_context(self.workers("ours", 2))
                # The new worker says that it is there.
                time.sleep(5.0)
            died = time.monotonic()
            wait_for(path, 3)
            took = time.monotonic() - died
        with self._session() as execute:
            execute("DELETE FROM offload_job WHERE finished_at IS NULL")
        return took


def wait_for(path: Path, count: int) -> int:
    """Wait until so many jobs have noted that they were computed; how many have."""
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    done = 0
    while done < count and time.monotonic() < deadline:
        done = path.stat().st_size if path.exists() else 0
        time.sleep(0.01)
    return done


def cpu_of(processes: list["subprocess.Popen[str]"]) -> float:
    """User and system time of processes and all below them, in seconds (proc(5), stat)."""
    sessions = {process.pid for process in processes}
    spent = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Fields 6 (session), 14 to 17 (with those of children that have ended).
        if int(values[3]) in sessions:
            spent += sum(map(int, values[11:15]))
    return spent / os.sysconf("SC_CLK_TCK")
