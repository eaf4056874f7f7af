"""What every process tells Prometheus: its metrics, added up with those of its neighbours.

Every metric of `offload` is made with the three classes below, so that `process_files` has had its
turn before the first one.
"""

from offload.observe import process_files

process_files.use()

from prometheus_client import Counter, Gauge, Histogram  # noqa: E402  # see above

__all__ = ["Counter", "Gauge", "Histogram"]
