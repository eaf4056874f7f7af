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
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter
from job_queues import HERE, QUEUES, SERIES, install_peers
from jobs_bench import Bench

TEMPLATE = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

# The tests' own.
from postgresql_server import find_programs, free_port, postgres_server  # noqa: E402


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
