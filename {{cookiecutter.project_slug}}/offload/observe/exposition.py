"""The text that Prometheus reads."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from offload.observe import process_files


def make_text() -> bytes:
    """The metrics of this process; with files, of all processes that count in the same folder."""
    if process_files.folder() is None:
        return generate_latest()

    process_files.remove_gauges_of_the_dead()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
