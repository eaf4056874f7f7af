"""One run of the benchmark, from its arguments to what is printed."""

import argparse
import json
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import picture, report
from benchmarks.compute import rounds_of
from benchmarks.measure import Figures, Turn, bench, figures
from benchmarks.measured_service import measured_service
from benchmarks.rows import COMPUTING_SECONDS, ROWS, Row

# Each way is loaded in so many turns of so many seconds. The ways of a row take turns, so that all
# of them meet a machine that becomes faster or slower.
TURNS, TURN_SECONDS = 3, 1.7
QUICK_TURNS, QUICK_TURN_SECONDS = 1, 0.25
# The exit status after SIGTERM, by the shell's convention.
TERMINATED_STATUS = 143


def arguments() -> argparse.Namespace:
    """The arguments of the command line; `rows` holds the names of the rows to measure."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the rule on this machine."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="under a minute; good for a look, not for figures to quote",
    )
    parser.add_argument("--only", help=f"rows to measure, separated by commas: {', '.join(names)}")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("var/bench"),
        help="where results go (default: %(default)s)",
    )
    found = parser.parse_args()
    found.rows = found.only.split(",") if found.only else names
    if unknown := set(found.rows) - set(names):
        parser.error(
            f"there is no row {', '.join(sorted(unknown))}: choose from {', '.join(names)}"
        )
    return found


def run(
    rows: list[Row], turns: int, seconds: float, console: Console
) -> dict[str, dict[str, Figures]]:
    """Measure every way of the rows: `{row: {way: figures}}`, in the rows' order."""
    seen: dict[str, dict[str, list[Turn]]] = {
        row.name: {way.name: [] for way in row.ways} for row in rows
    }
    rounds = rounds_of(COMPUTING_SECONDS)
    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    servers = list(dict.fromkeys(way.server for row in rows for way in row.ways))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(
            "starting the service", total=turns * sum(len(row.ways) for row in rows) + 2
        )
        with measured_service(servers) as started, bench(started) as measuring:
            progress.advance(task, 2)
            for row in sorted(rows, key=lambda row: row.clients):
                for way in row.ways:
                    measuring.warm(way)
                for _ in range(turns):
                    for way in row.ways:
                        progress.update(task, description=f"{row.name}: {way.name}")
                        amount = rounds if way.amount is None else way.amount
                        seen[row.name][way.name].append(measuring.turn(way, amount, seconds))
                        progress.advance(task)
    return {name: {way: figures(told) for way, told in ways.items()} for name, ways in seen.items()}


def main() -> None:
    """Measure, print and draw."""
    asked = arguments()
    # SIGTERM stops everything that was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED_STATUS))
    console = Console()
    rows = [row for row in ROWS if row.name in asked.rows]
    load = (QUICK_TURNS, QUICK_TURN_SECONDS) if asked.quick else (TURNS, TURN_SECONDS)
    found = report.document(rows, run(rows, *load, console))
    asked.out.mkdir(parents=True, exist_ok=True)
    results = asked.out / "result.json"
    results.write_text(json.dumps(found, indent=2) + "\n")
    report.show(found, console)
    files = [results, *picture.draw(found, asked.out)]
    names = ", ".join(file.name for file in files if file.suffix != ".png")
    console.print(f"\nIn {asked.out}: {names} (and .png)")
