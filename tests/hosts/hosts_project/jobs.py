"""A job that writes each of its executions down."""

import socket
import time
from pathlib import Path

from hosts_project.notes import note

# The workers find job types in this module.
from hosts_project.orders import bill as bill
from pydantic import BaseModel

from offload.jobs import MiB, Report, job

# Seconds between two looks for the gate.
INTERVAL_SECONDS = 0.05


class Count(BaseModel):
    """What the job does.

    Attributes:
        name: what it is called in the log.
        log: a file. Each execution appends `start NAME HOST`, and at its end `end NAME HOST`.
        gate: the job ends when there is such a file.
        seconds: how long it takes without a gate.
    """

    name: str
    log: str
    gate: str = ""
    seconds: float = 0.0


class Counted(BaseModel):
    """The host that computed it."""

    host: str


@job("hosts.count", time_limit=300, memory_limit=512 * MiB)
def count(params: Count, report: Report) -> Counted:
    host = socket.gethostname()
    note(params.log, f"start {params.name} {host}")
    time.sleep(params.seconds)
    while params.gate and not Path(params.gate).exists():
        time.sleep(INTERVAL_SECONDS)
        report(0.5)
    note(params.log, f"end {params.name} {host}")
    return Counted(host=host)
