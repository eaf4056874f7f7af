"""What this process knows of its upstreams, for the people who run the service.

Other processes have breakers of their own; the metrics have the sum.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from .circuit_breaker import CircuitState
from .client import UpstreamClient
from .metrics import LATENCY, OUTCOMES
from .upstream import declared

# The share of the calls whose latency is told.
LATENCY_SHARE = 0.95


@dataclass
class UpstreamOverview:
    """One open upstream.

    Args:
        name: as it was declared.
        breaker: the state of its circuit.
        waiting: calls that wait for a slot.
        outcomes: calls since the start of the process, by their outcome; without those of 0.
        mean_seconds: of the calls of which a request was sent; None where there was none.
        most_within_seconds: 95 % of them took no longer; infinite if that is above all buckets.
    """

    name: str
    breaker: CircuitState
    waiting: int
    outcomes: dict[str, int] = field(default_factory=dict)
    mean_seconds: float | None = None
    most_within_seconds: float | None = None


def breaker_states() -> dict[str, CircuitState]:
    """The state of each open upstream's circuit. Cheap: a page may ask for it each second."""
    return {client.name: client.circuit.state for client in _clients()}


def open_upstreams() -> list[UpstreamOverview]:
    """The open upstreams of this process, by name. Called from any thread."""
    found = [
        UpstreamOverview(client.name, client.circuit.state, client.bulkhead.waiting)
        for client in _clients()
    ]
    outcomes, latency = _samples(OUTCOMES), _samples(LATENCY)
    for each in found:
        counts = outcomes.get(each.name, {})
        each.outcomes = {
            status: int(count)
            for (name, status), count in counts.items()
            if count and name == "total"
        }
        _add_latency(each, latency.get(each.name, {}))
    return sorted(found, key=lambda each: each.name)


def _clients() -> list[UpstreamClient]:
    clients = (upstream.open_client for upstream in list(declared))
    return [client for client in clients if client is not None]


def _samples(metric: Any) -> dict[str, dict[tuple[str, str], float]]:
    """The samples of a metric of this process, by upstream.

    The key of a sample is the last word of its name, and its other label if it has one.
    """
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for family in metric.collect():
        for sample in family.samples:
            labels = dict(sample.labels)
            upstream = labels.pop("upstream")
            key = sample.name.rpartition("_")[2], "".join(labels.values())
            found[upstream][key] = sample.value
    return found


def _add_latency(upstream: UpstreamOverview, samples: dict[tuple[str, str], float]) -> None:
    count = samples.get(("count", ""), 0.0)
    if not count:
        return
    upstream.mean_seconds = samples["sum", ""] / count
    bounds = sorted((float(bound), seen) for (name, bound), seen in samples.items() if bound)
    upstream.most_within_seconds = next(
        bound for bound, seen in bounds if seen >= LATENCY_SHARE * count
    )
