"""CPU per request of the serving room beside its peers, in one run: `python tests/peers/serving.py
[--json FILE]`.

Needs wrk, and fastapi and starlette beside the service's own requirements. Ours is a generated
service as production runs it: its settings, chain, lifespans and structured access log, only the
routes are the benchmark's. Every server runs alone, on uvloop and httptools, the peers without an
access log. The figure is the server process's user and system time over a wrk run divided by wrk's
number of requests: unlike requests a second, it hardly depends on who shares the machine.
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
# What this room aims at: (ours, against whom, at most this ratio).
BOUNDS = [
    ("trivial", "Starlette", 3.5),
    ("trivial", "startproject", 1 / 8),
    ("typed", "FastAPI", 1.5),
    ("orm", "startproject", 1 / 1.5),
]


def environment(directory: str) -> dict[str, str]:
    """The baked service's and the peers' in one: production settings, one database."""
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
            # Its event loop stands still.
            process.kill()


def cpu(pid: int) -> float:
    """Seconds of user and system time so far, all threads (fields 14 and 15 of proc(5)'s stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(pid: int, url: str, seconds: int) -> float:
    """Milliseconds of CPU a request under 16 connections."""
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
    """A service with the template's defaults, and one row to query."""
    cookiecutter(str(TEMPLATE), no_input=True, output_dir=directory)
    code = (
        "import django; django.setup(); from django.core.management import call_command; "
        "call_command('migrate', verbosity=0); "
        "from django.contrib.auth.models import Group; Group.objects.create(pk=1, name='one')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(directory))


def measure(seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians over rounds, the servers taking turns: `{server: {endpoint: ms}}`."""
    samples: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        for _ in range(rounds):
            for name, (command, endpoints) in RUNS.items():
                with served(command, directory) as (pid, port):
                    for endpoint, path in endpoints.items():
                        url = f"http://127.0.0.1:{port}{path}"
                        # Warm.
                        load(pid, url, 1)
                        samples.setdefault(name, {}).setdefault(endpoint, []).append(
                            load(pid, url, seconds)
                        )
    return {
        name: {what: statistics.median(s) for what, s in found.items()}
        for name, found in samples.items()
    }


def main() -> None:
    """Measure, print the table, and fail where a bound is broken."""
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
