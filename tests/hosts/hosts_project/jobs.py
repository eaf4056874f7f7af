"""A job that writes each of its executions down."""

import os
import socket
import time
from pathlib import Path

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
    _note(params.log, f"start {params.name} {host}")
    time.sleep(params.seconds)
    while params.gate and not Path(params.gate).exists():
        time.sleep(INTERVAL_SECONDS)
        report(0.5)
    _note(params.log, f"end {params.name} {host}")
    return Counted(host=host)


def _note(log: str, line: str) -> None:
    """Append a line. Processes of several hosts do so at once."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, f"{line}\n".encode())
    os.close(file)
