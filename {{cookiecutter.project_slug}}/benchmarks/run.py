"""A run, from what was asked for to what is printed."""

import argparse
import json
import signal
import sys
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import picture, report
from benchmarks.compute import rounds_of
from benchmarks.measure import Figures, bench
from benchmarks.rows import COMPUTING, ROWS, Row
from benchmarks.service import service

SECONDS, QUICK = 5.0, 0.25  # of load on each way


def arguments() -> argparse.Namespace:
    """What was asked for."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Prove the rule on this machine.")
    parser.add_argument(
        "--quick", action="store_true", help="about a minute; good for a look, not for figures to quote"
    )
    parser.add_argument("--only", help=f"rows to measure, separated by commas: {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where results go (default: %(default)s)")
    found = parser.parse_args()
    found.rows = found.only.split(",") if found.only else names
    if unknown := set(found.rows) - set(names):
        parser.error(f"there is no row {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    return found


def run(rows: list[Row], seconds: float, console: Console) -> dict[str, dict[str, Figures]]:
    """Measure every way of the rows: `{row: {way: figures}}`, in the rows' order."""
    found: dict[str, dict[str, Figures]] = {row.name: {} for row in rows}
    ways = sorted(((way, row) for row in rows for way in row.ways), key=lambda pair: (pair[0].server, pair[0].clients))
    rounds = rounds_of(COMPUTING)
    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting the service", total=len(ways) + 2)
        with service() as started, bench(started) as measuring:
            progress.advance(task, 2)
            for _, served in groupby(ways, key=lambda pair: pair[0].server):
                with started.web() as web:
                    for way, row in served:
                        progress.update(task, description=f"{row.name}: {way.name}")
                        amount = rounds if way.amount is None else way.amount
                        found[row.name][way.name] = measuring.measure(way, web, amount, seconds)
                        progress.advance(task)
    return {row.name: {way.name: found[row.name][way.name] for way in row.ways} for row in rows}


def main() -> None:
    """Run, print, draw."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: stop what was started
    console = Console()
    rows = [row for row in ROWS if row.name in asked.rows]
    found = report.document(rows, run(rows, QUICK if asked.quick else SECONDS, console))
    asked.out.mkdir(parents=True, exist_ok=True)
    results = asked.out / "result.json"
    results.write_text(json.dumps(found, indent=2) + "\n")
    report.show(found, console)
    files = [results, *picture.draw(found, asked.out)]
    console.print(f"\nIn {asked.out}: {', '.join(file.name for file in files if file.suffix != '.png')} (and .png)")
