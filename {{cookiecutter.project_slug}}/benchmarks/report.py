"""A run as JSON for programs, and as tables and sentences for people."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figures
from benchmarks.rows import Row
from benchmarks.verdict import judge, ms, trust

LEGEND = """CPU: per request, of web process and worker; ratio: to the CPU of the first way.
threads, db: the most threads and database connections of the web process.
neighbour: p99 of a small request that is sent every 20 ms meanwhile.
"""
PACKAGES = ("django", "uvicorn", "uvloop", "httpx", "aiohttp", "celery", "redis")


def machine() -> dict[str, Any]:
    """The machine of a run, and the versions of what was measured."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def document(rows: list[Row], found: Mapping[str, Mapping[str, Figures]]) -> dict[str, Any]:
    """The whole run as plain data: `rows[name]["ways"][way]` are the figures, times in
    milliseconds.
    """
    return {
        "command": " ".join(
            ["make bench", *(f"ARGS={' '.join(sys.argv[1:])!r}" for _ in sys.argv[1:2])]
        ),
        "machine": machine(),
        "warning": trust(found),
        "rows": {
            row.name: {
                "title": row.title,
                "ways": {way: asdict(figures) for way, figures in found[row.name].items()},
            }
            for row in rows
        },
        "verdicts": [asdict(verdict) for verdict in judge(found)],
    }


def table(row: Mapping[str, Any]) -> Table:
    """The ways of one row side by side. CPU and ratio, which compare machines best, come first."""
    drawn = Table(
        title=row["title"],
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("", no_wrap=True)
    refused = any(figures["refused"] for figures in row["ways"].values())
    for head in (
        "CPU",
        "ratio",
        "req/s",
        "p50",
        "p99",
        "threads",
        "refused" if refused else "db",
        "neighbour",
    ):
        drawn.add_column(head, justify="right", no_wrap=True)
    first = next(iter(row["ways"].values()))
    for way, figures in row["ways"].items():
        drawn.add_row(
            way,
            ms(figures["cpu"]),
            f"{figures['cpu'] / first['cpu']:.2f}",
            f"{figures['per_second']:,.1f}",
            ms(figures["p50"]),
            ms(figures["p99"]),
            str(figures["threads"]),
            f"{figures['refused']:.0%}" if refused else str(figures["connections"]),
            ms(figures["neighbour_p99"]),
        )
    return drawn


def show(run: Mapping[str, Any], console: Console) -> None:
    """Print the tables, then the verdicts."""
    for row in run["rows"].values():
        console.print(table(row))
    console.print(LEGEND, highlight=False)
    for verdict in run["verdicts"]:
        mark = "[green]✓[/]" if verdict["holds"] else "[red]✗[/]"
        console.print(f"{mark} [bold]{verdict['row']}[/]: {verdict['sentence']}", highlight=False)
    if run["warning"]:
        console.print(f"\n[red]{run['warning']}[/]", highlight=False)
