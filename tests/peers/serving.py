"""Measures the CPU per request of a generated service and of its peers.

`python tests/peers/serving.py [--json FILE]` needs wrk, and fastapi and starlette beside the
requirements of a service.

"ours" is a generated service as production runs it, with its settings, chain, lifespans and
structured access log; only the routes are the benchmark's. Every server runs alone, on uvloop and
httptools. The peers write no access log.

The figure is the user and system time of the server process during a run of wrk, divided by the
number of requests. Unlike requests a second it hardly depends on what else the machine does.
"""

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cookiecutter.main import cookiecutter

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE.parent.parent
PING, TYPED, ORM = "/api/ping", "/api/items/7?name=lamp&price=12.5", "/api/orm"
UVICORN = [
    "uvicorn",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level",
    "warning",
]
RUNS: dict[str, tuple[list[str], dict[str, str]]] = {
    "ours": (["offload.serving"], {"trivial": PING, "typed": TYPED, "orm": ORM}),
    "startproject": (
        [*UVICORN, "serving_apps.stock:application"],
        {"trivial": PING, "typed": TYPED, "orm": ORM},
    ),
    "FastAPI": ([*UVICORN, "serving_apps.fast:application"], {"trivial": PING, "typed": TYPED}),
    "Starlette": ([*UVICORN, "serving_apps.bare:application"], {"trivial": PING}),
}
# Of the endpoint our figure is at most this multiple of the peer's.
BOUNDS = [
    ("trivial", "Starlette", 2.8),
    ("trivial", "startproject", 1 / 8),
    ("typed", "FastAPI", 1.45),
    ("orm", "startproject", 1 / 1.5),
]


def environment(directory: str) -> dict[str, str]:
    """For the service and for its peers: production settings, one database."""
    database = f"{directory}/peers.sqlite3"
    return os.environ | {
        "PYTHONPATH": f"{directory}/risk_desk:{HERE}",
        "DJANGO_SETTINGS_MODULE": "serving_apps.ours",
        "PEERS_DB": database,
        "DATABASE_URL": f"sqlite:///{database}",
        "DEBUG": "0",
    }


@contextmanager
def served(command: list[str], directory: str, **variables: str) -> Iterator[tuple[int, int]]:
    """Run a server, with its output in a file as under a process manager.

    Yields:
        its process id and its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open(f"{directory}/output.log", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            env=environment(directory) | variables,
            stderr=output,
        )
    try:
        for _ in range(300):
            time.sleep(0.1)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            # Something blocks its event loop.
            process.kill()


def cpu(pid: int) -> float:
    """User and system time of all threads, in seconds (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(pid: int, url: str, seconds: int) -> float:
    """CPU per request under 16 connections, in milliseconds."""
    before = cpu(pid)
    report = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", url], check=True, capture_output=True, text=True
    ).stdout
    spent = cpu(pid) - before
    if "Non-2xx" in report:
        sys.exit(f"{url} answered errors:\n{report}")
    found = re.search(r"(\d+) requests in", report)
    assert found, report
    return spent / int(found[1]) * 1000


def prepare(directory: str) -> None:
    """Generate a service with the template's defaults, and one row to query."""
    cookiecutter(str(TEMPLATE), no_input=True, output_dir=directory)
    code = (
        "import django; django.setup(); from django.core.management import call_command; "
        "call_command('migrate', verbosity=0); "
        "from django.contrib.auth.models import Group; Group.objects.create(pk=1, name='one')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(directory))


def measure(seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of the rounds, in which the servers take turns: `{server: {endpoint: ms}}`."""
    samples: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        for _ in range(rounds):
            for name, (command, endpoints) in RUNS.items():
                with served(command, directory) as (pid, port):
                    for endpoint, path in endpoints.items():
                        url = f"http://127.0.0.1:{port}{path}"
                        # A first second to warm up.
                        load(pid, url, 1)
                        samples.setdefault(name, {}).setdefault(endpoint, []).append(
                            load(pid, url, seconds)
                        )
    return {
        name: {what: statistics.median(s) for what, s in found.items()}
        for name, found in samples.items()
    }


def main() -> None:
    """Measure, print the table, and exit with 1 if a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=3, help="of load on each endpoint (default: 3)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="of which the median counts (default: 3)"
    )
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.rounds)
    print(f"{'CPU per request, ms':<22}{'trivial':>9}{'typed':>9}{'orm':>9}")
    for name, figures in found.items():
        print(
            f"{name:<22}"
            + "".join(
                f"{figures.get(what, float('nan')):9.3f}" for what in ("trivial", "typed", "orm")
            )
        )
    broken = False
    for what, peer, bound in BOUNDS:
        ratio = found["ours"][what] / found[peer][what]
        broken |= ratio > bound
        verdict = " BROKEN" if ratio > bound else ""
        print(f"{what}: {ratio:.2f} of {peer}'s, the bound is {bound:.3f}{verdict}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
