"""Gauges whose value is asked for: how much there is of something now."""

from collections.abc import Callable, Mapping

from prometheus_client import Gauge

from offload.observe import process_files

# What a gauge shows, by the gauge. Only where the metrics are in files: there a value has to be
# written, since another process may be asked for it.
_functions: dict[Gauge, Callable[[], float]] = {}


def show_gauge(gauge: Gauge, function: Callable[[], float]) -> None:
    """Show what a function returns.

    Without files it is called at each scrape. With files, `refresh_gauges` calls it.

    Args:
        gauge: or one series of it. A second function for it replaces the first one.
    """
    if process_files.folder() is None:
        gauge.set_function(function)
    else:
        _functions[gauge] = function


def refresh_gauges() -> None:
    """Write the values of this process. A web process does it twice a second."""
    for gauge, function in _functions.items():
        gauge.set(function())


def set_all_series(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Set these series of a gauge, by their labels, and all its other series to 0.

    A series cannot be removed from a file.
    """
    for metric in gauge.collect():
        for sample in metric.samples:
            labels = tuple(sample.labels.values())
            if labels not in values:
                gauge.labels(*labels).set(0)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
