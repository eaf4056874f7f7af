"""`python -m offload_dev.metrics_page`: writes the tables of docs/reference/metrics.md.

With `--check` it writes nothing, and fails if they are out of date.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

PAGE = Path("docs/reference/metrics.md")
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"
# What a web process and a worker import. It takes every metric of the standard along.
ROOTS = ("config.asgi", "offload.jobs.worker.supervisor")


def main() -> int:
    """Write or check the page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m offload_dev.metrics_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()

    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page = f"{before}{BEGIN}{make_tables()}{END}{after}"
    if page == PAGE.read_text():
        return 0
    if arguments.check:
        print(f"{PAGE} is out of date: python -m offload_dev.metrics_page")  # noqa: T201
        return 1
    PAGE.write_text(page)
    return 0


def make_tables() -> str:
    """A table for each module that has metrics."""
    for root in ROOTS:
        importlib.import_module(root)
    modules = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("offload.") and _metrics_of(module)
    ]
    lines = []
    for room, found in groupby(modules, lambda module: module.__name__.split(".")[1]):
        lines += [f"\n### `offload/{room}`\n", "| metric | type | labels | |", "|---|---|---|---|"]
        lines += [_row(metric) for module in found for metric in _metrics_of(module)]
    return "\n".join([*lines, "", ""])


def _metrics_of(module: ModuleType) -> list[MetricWrapperBase]:
    """The metrics that a module has made, and not those that it imports from another one."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, MetricWrapperBase) and _is_made_in(module, value)
    ]


def _is_made_in(module: ModuleType, metric: MetricWrapperBase) -> bool:
    source = Path(module.__file__ or "").read_text()
    return any(f'"{name}"' in source for name in _names(metric))


def _names(metric: MetricWrapperBase) -> Iterator[str]:
    """The names that Prometheus knows, without those of a histogram's series."""
    for family in metric.describe():
        yield f"{family.name}_total" if family.type == "counter" else family.name


def _row(metric: MetricWrapperBase) -> str:
    (family,), (name,) = metric.describe(), _names(metric)
    labels = ", ".join(f"`{each}`" for each in metric._labelnames)  # noqa: SLF001 - no public name
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


if __name__ == "__main__":
    sys.exit(main())
