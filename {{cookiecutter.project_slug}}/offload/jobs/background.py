"""Connects what runs beside requests and jobs: the relay, and the maintenance in its thread."""

from offload.jobs.broker import Broker
from offload.jobs.declare import all_job_types
from offload.jobs.maintenance.runner import Maintenance
from offload.jobs.metrics import start_at_zero
from offload.jobs.relay import Relay
from offload.jobs.services import JobServices


def create_relay(services: JobServices) -> Relay:
    """Give a process its relay. It is started later, after the forks that notify it."""
    start_at_zero((each.name, each.limits.queue) for each in all_job_types())
    broker = Broker(services.stats)
    maintenance = Maintenance(broker, services.stats, services.events)
    services.relay = Relay(broker, maintenance.run)
    return services.relay
