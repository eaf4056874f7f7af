"""Renews the leases of the jobs that this worker computes."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.models import Job


class Leases:
    """The leases of one worker. They are renewed three times in the time that a lease lasts."""

    def __init__(self, worker_id: UUID) -> None:
        self._worker_id = worker_id
        self._renewed_at = 0.0

    def renew(self, held: Iterable[Job]) -> None:
        """Renew the leases of jobs whose process is alive, if that is due."""
        now = time.monotonic()
        if now - self._renewed_at > conf().lease / 3:
            alive = [job.pk for job in held if process_is_alive(job.pid)]
            transitions.renew(self._worker_id, alive)
            self._renewed_at = now


def process_is_alive(pid: int | None) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid or 0, 0)
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # macOS has no /proc.
        return True
