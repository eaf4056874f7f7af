"""`python -m benchmarks.capacity`: what a traffic needs, and what breaks first.

With `--measure` it measures the costs of this machine first, and with `--verify` it holds its
predictions against loads. Both start a service of their own; nothing else needs one.
"""

import argparse
import os
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.capacity.bounds import uses
from benchmarks.capacity.costs import FIGURES, Costs
from benchmarks.capacity.model import Need, Traffic, need

MEASURED = Path("var/capacity/costs.toml")
# A prediction that is further off is marked.
TOLERANCE = 0.2
FACTORS = (1, 10, 100)


def number(kind: type[int] | type[float], least: int) -> Callable[[str], float]:
    """Reads a number of an argument, which is finite and no smaller than `least`."""

    def read(text: str) -> float:
        found = kind(text)
        if not least <= found < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a number of {least} or more")
        return found

    read.__name__ = kind.__name__
    return read


def figures_file(text: str) -> Costs:
    """Reads the file of `--costs`."""
    try:
        return Costs.read(Path(text))
    except (OSError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no file of figures: {error}") from None


def arguments() -> argparse.Namespace:
    """The arguments of the command line; each field of `Traffic` is one."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity", description=(__doc__ or "").splitlines()[0]
    )
    traffic = parser.add_argument_group("the traffic")
    for field in fields(Traffic):
        name = "--" + field.name.replace("_", "-")
        if field.type is bool:
            traffic.add_argument(name, action="store_true")
        else:
            read = number(int, 1) if field.type is int else number(float, 0)
            traffic.add_argument(name, type=read, default=field.default, metavar="N")
    parser.add_argument("--database-cores", type=number(int, 1), default=4, metavar="N")
    parser.add_argument(
        "--costs", type=figures_file, metavar="FILE", help="figures; default: your own, or ours"
    )
    parser.add_argument("--measure", action="store_true", help=f"write {MEASURED} first")
    parser.add_argument(
        "--database", metavar="URL", help="an empty database for what is measured; default: SQLite"
    )
    parser.add_argument("--verify", action="store_true", help="try predictions against loads")
    parser.add_argument(
        "--seed",
        type=number(int, 0),
        default=random.randrange(10**6),
        metavar="N",
        help="of the loads that --verify draws; default: another one each time",
    )
    parser.add_argument(
        "--seconds", type=number(float, 1), default=15.0, help="of each load that is measured"
    )
    return parser.parse_args()


def main() -> None:
    """Measure if asked, and print."""
    asked, console = arguments(), Console()
    if asked.measure or asked.verify:
        _measure(asked, console)
        return

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from offload.conf import conf

    costs, limits = asked.costs or Costs.read(_own_or_ours()), conf()
    traffic = Traffic(**{field.name: getattr(asked, field.name) for field in fields(Traffic)})
    sizes = [traffic.times(factor) for factor in FACTORS]
    needs = [need(size, costs, limits) for size in sizes]
    console.print(_needs(sizes, needs))
    console.print(_uses(sizes, needs, costs, limits, asked.database_cores))


def figure(value: float) -> str:
    """A figure as people write it: without an exponent, and with no digit that says nothing."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    if value >= 0.01:
        return f"{value:.{1 if value >= 1 else 2}f}"
    return "< 0.01"


def _own_or_ours() -> Path:
    return MEASURED if MEASURED.exists() else FIGURES


def _needs(sizes: list[Traffic], needs: list[Need]) -> Table:
    def numbers(*names: str) -> list[str]:
        return [" / ".join(figure(getattr(found, name)) for name in names) for found in needs]

    table = Table("", *(f"{factor} x" for factor in FACTORS), title="What it needs")
    for what in ("requests", "jobs", "streams"):
        table.add_row(what, *(f"{getattr(size, what):,g}" for size in sizes))
    table.add_section()
    for title, names in {
        "web: processes, cores, MB": ("web_processes", "web_cpu", "web_mb"),
        "workers: hosts, processes that compute": ("workers", "worker_processes"),
        "workers: cores, MB": ("worker_cpu", "worker_mb"),
        "Redis: cores": ("redis_cpu",),
        "PostgreSQL: statements a second, cores": ("statements", "database_cpu"),
        "PostgreSQL: connections": ("connections",),
        "rows of jobs, GB": ("rows", "rows_gb"),
    }.items():
        table.add_row(title, *numbers(*names))
    return table


def _uses(sizes: list[Traffic], needs: list[Need], costs: Costs, limits: Any, cores: int) -> Table:
    columns = [
        {use.what: use for use in uses(size, found, costs, limits, cores)}
        for size, found in zip(sizes, needs, strict=True)
    ]
    table = Table(
        "", *(f"{factor} x" for factor in FACTORS), "beyond 100 %", title="What breaks first"
    )
    for what, use in columns[-1].items():
        table.add_row(what, *(f"{column[what].share:.0%}" for column in columns), use.then)
    return table


def _measure(asked: argparse.Namespace, console: Console) -> None:
    from benchmarks.capacity import measure

    costs = asked.costs or Costs.read(_own_or_ours())
    with measure.one_service(asked.database) as service:
        if asked.measure:
            costs = measure.measure(service, asked.seconds, costs)
            costs.write(MEASURED, f"measured with loads of {asked.seconds:g} s")
            console.print(MEASURED.read_text(), markup=False)
        if not asked.verify:
            return

        title = f"Cores; the same loads again: --seed {asked.seed}"
        table = Table("load", "process", "predicted", "used", "error", title=title)
        for verdict in measure.verify(service, asked.seconds, costs, asked.seed):
            mark = "" if abs(verdict.error) <= TOLERANCE else " (!)"
            table.add_row(
                verdict.trial,
                verdict.process,
                f"{verdict.predicted:.3f}",
                f"{verdict.used:.3f}",
                f"{verdict.error:+.0%}{mark}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
