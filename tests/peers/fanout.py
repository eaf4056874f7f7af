"""Compares a fan-out of ten with its peers: `python tests/peers/fanout.py [--json FILE]`.

Needs wrk, fastapi and starlette, besides the requirements of the service. Every request asks ten
upstreams of 50 ms at once. One server runs at a time, on uvloop and httptools, with 8 and then 32
clients. CPU is the user and system time of the server process, divided by wrk's number of requests;
p50 is wrk's. The machine may be shared: compare ratios, not times.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from math import inf
from pathlib import Path
from typing import Any

from serving import UVICORN, cpu, prepare, served

SOURCES, DELAY_MS = 10, 50.0
RUNS = {
    "ours": ["offload.serving"],
    "our room, Starlette": [*UVICORN, "fanout_apps.room_starlette:application"],
    "Starlette + aiohttp": [*UVICORN, "fanout_apps.starlette_aiohttp:application"],
    "FastAPI + aiohttp": [*UVICORN, "fanout_apps.fastapi_aiohttp:application"],
    "FastAPI + httpx": [*UVICORN, "fanout_apps.fastapi_httpx:application"],
    "startproject + httpx": [*UVICORN, "serving_apps.stock:application"],
}
CLIENTS = (8, 32)
Figures = dict[str, float]


def load(pid: int, port: int, clients: int, seconds: int) -> Figures:
    """CPU in ms a request, p50 in ms and the share of failed requests under so many clients."""
    url = f"http://127.0.0.1:{port}/api/fan"
    before = cpu(pid)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", url]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu(pid) - before
    count, median = (
        re.search(r"(\d+) requests in", report),
        re.search(r"50%\s+([\d.]+)(us|ms|s)\s", report),
    )
    if not count or not median:
        sys.exit(f"{url} did not answer:\n{report}")
    # No request was answered in time.
    if not int(count[1]):
        return {"cpu": inf, "p50": inf, "failed": 1.0}
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    return {
        "cpu": spent / int(count[1]) * 1000,
        "p50": float(median[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[median[2]],
        "failed": int(failed[1]) / int(count[1]) if failed else 0.0,
    }


def measure(seconds: int, rounds: int) -> dict[str, dict[int, Figures]]:
    """Medians over rounds, the servers taking turns: `{server: {clients: figures}}`."""
    samples: dict[str, dict[int, list[Figures]]] = {
        name: {clients: [] for clients in CLIENTS} for name in RUNS
    }
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        with served(["fanout_apps.upstream"], directory) as (_, upstream):
            for _ in range(rounds):
                for name, command in RUNS.items():
                    variables = {
                        "DJANGO_SETTINGS_MODULE": "fanout_apps.ours",
                        "PEERS_UPSTREAM": str(upstream),
                        "PEERS_URLS": "fanout_apps.stock_urls",
                    }
                    with served(command, directory, **variables) as (pid, port):
                        # Not counted: the first requests open the connections.
                        load(pid, port, 8, 1)
                        for clients in CLIENTS:
                            samples[name][clients].append(load(pid, port, clients, seconds))
    return {
        name: {
            clients: {
                what: statistics.median(figures[what] for figures in found)
                for what in ("cpu", "p50", "failed")
            }
            for clients, found in by_clients.items()
        }
        for name, by_clients in samples.items()
    }


def bounds(found: dict[str, dict[int, Figures]]) -> list[tuple[str, float, float]]:
    """The aims of this room, with 8 clients: (what, figure, at most)."""
    at8 = {name: figures[8] for name, figures in found.items()}
    ours, raw = at8["our room, Starlette"]["cpu"], at8["Starlette + aiohttp"]["cpu"]
    return [
        ("CPU a call, all protections on, to raw aiohttp's", ours / raw, 1.45),
        ("p50 of the fan-out to its slowest upstream", at8["ours"]["p50"] / DELAY_MS, 1.15),
        (
            "CPU a request to FastAPI + httpx's",
            at8["ours"]["cpu"] / at8["FastAPI + httpx"]["cpu"],
            1 / 15,
        ),
    ]


def main() -> None:
    """Measure, print the table, and fail where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=3, help="of load at each number of clients (default: 3)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="of which the median counts (default: 3)"
    )
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.rounds)
    head = f"{'fan-out of 10 x 50 ms':<22}{'at 8 clients: CPU':>19}{'a call':>9}{'p50':>8}"
    print(head + f"{'at 32: CPU':>13}{'p50':>9}{'failed':>9}")
    for name, figures in found.items():
        at8, at32 = figures[8], figures[32]
        print(
            f"{name:<22}{at8['cpu']:16.2f} ms{at8['cpu'] / SOURCES:9.3f}{at8['p50']:8.1f}"
            f"{at32['cpu']:13.2f}{at32['p50']:9.1f}{at32['failed']:9.1%}"
        )
    checked: list[dict[str, Any]] = []
    for what, figure, bound in bounds(found):
        print(
            f"{what}: {figure:.3f}, the bound is {bound:.3f}{' BROKEN' if figure > bound else ''}"
        )
        checked.append({"what": what, "figure": figure, "bound": bound})
    if arguments.json:
        arguments.json.write_text(json.dumps({"figures": found, "bounds": checked}, indent=2))
    sys.exit(1 if any(entry["figure"] > entry["bound"] for entry in checked) else 0)


if __name__ == "__main__":
    main()
