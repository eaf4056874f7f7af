"""Submits and jobs beside other queues: `python tests/peers/jobs.py [--short] [--json FILE]`.

Each queue submits and computes the same small job, which appends a byte to a file: a generated
service, plain Celery on Redis, procrastinate, and django-tasks' database backend. They take turns,
with 1, 2 and 4 processes that compute, beside 0 to a million finished rows, on SQLite and on
PostgreSQL. The main figure is CPU: of the process that submits for each submit, and of all
processes of the worker for each job. The database's own CPU is not in it. Celery keeps no rows;
procrastinate has PostgreSQL alone.

"recovery": seconds from the death of the service's worker, its lease being 3 s, until another one
computes the job again.

The peers are installed into build/peers. It takes 15 minutes on two cores, with `--short` two.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from cookiecutter.main import cookiecutter

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

# The tests' own.
from postgresql_server import find_programs, free_port, postgres_server  # noqa: E402

PEERS = TEMPLATE / "build" / "peers"
PACKAGES = ("celery[redis]", "psycopg[binary]", "procrastinate", "django-tasks", "django-tasks-db")
# Seconds until a run is given up: it then has fewer jobs.
RUN_TIMEOUT_SECONDS = 60.0
# Rows that one statement inserts.
INSERT_ROWS = 100_000


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


@contextmanager
def benches(vendors: list[str]) -> Iterator[list[Bench]]:
    """Redis, the generated service, and the databases with their tables."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        folder = Path(directory)
        cookiecutter(str(TEMPLATE), no_input=True, output_dir=directory)
        port = free_port()
        redis = subprocess.Popen(
            [sys.executable, "-m", "offload_dev.launcher.embedded_valkey"],
            env=os.environ
            | {
                "PYTHONPATH": f"{directory}/risk_desk",
                "REDIS_URL": f"redis://127.0.0.1:{port}/0",
            },
            cwd=f"{directory}/risk_desk",
            stdout=subprocess.DEVNULL,
        )
        stack.callback(redis.wait)
        stack.callback(redis.terminate)
        found = []
        for vendor in vendors:
            url = f"sqlite:///{directory}/peers.sqlite3"
            if vendor == "postgresql":
                programs = find_programs()
                if programs is None:
                    print("NO POSTGRESQL ON THIS MACHINE: SQLite alone is measured")
                    continue
                url = stack.enter_context(postgres_server(programs)).url
            found.append(Bench(vendor, url, folder, port))
            found[-1].set_up()
        yield found


def measure(bench: Bench, sizes: list[int], processes: list[int], jobs: int) -> Iterator[Any]:
    """The figures of one database, row by row: the queues take turns."""
    for rows in sizes:
        for count in processes:
            for name in bench.queues:
                # Celery keeps no rows: once is enough.
                if rows and not QUEUES[name].table:
                    continue
                bench.fill(name, rows)
                row = {"database": bench.vendor, "rows": rows, "processes": count, "queue": name}
                yield row | bench.run(name, count, jobs)
        yield {"database": bench.vendor, "rows": rows, "recovery": bench.recovery()}


def line_of(row: dict[str, Any]) -> str:
    """One row of the table."""
    head = f"{row['database']:<11}{row['rows']:>9}"
    if "recovery" in row:
        return f"{head}  ours: a dead worker's job is computed again after {row['recovery']:.1f} s"
    return (
        f"{head}{row['processes']:>6}  {row['queue']:<14}{row['submit_cpu']:9.2f} ms"
        f"{row['job_cpu']:9.2f} ms{row['submits']:9.0f}/s{row['jobs']:9.0f}/s{row['done']:7.0f}"
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few rows, two minutes")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--jobs", type=int, default=200, help="jobs of a run")
    parser.add_argument("--database", choices=SERIES, action="append")
    arguments = parser.parse_args()
    sizes = [0, 10_000] if arguments.short else [0, 10_000, 100_000, 1_000_000]
    processes = [2] if arguments.short else [1, 2, 4]

    install_peers()
    print(
        f"{'database':<11}{'rows':>9}{'procs':>6}  {'queue':<14}{'CPU/submit':>12}{'CPU/job':>12}"
        f"{'submits':>11}{'jobs':>11}{'done':>7}"
    )
    found = []
    with benches(arguments.database or list(SERIES)) as all_benches:
        for bench in all_benches:
            for row in measure(bench, sizes, processes, arguments.jobs):
                found.append(row)
                print(line_of(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
