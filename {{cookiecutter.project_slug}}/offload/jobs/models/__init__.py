"""The rows of jobs, of what stands beside them, and of the service. Django finds them here."""

from offload.jobs.models.beside_job import KeptKey, Operations, ResultFile, RunLimitKey
from offload.jobs.models.fleet import Leader, Pause, Schedule, Worker
from offload.jobs.models.job import Job, default_result_lifetime
from offload.jobs.models.states import FINAL, Phase, Status

__all__ = [
    "FINAL",
    "Job",
    "KeptKey",
    "Leader",
    "Operations",
    "Pause",
    "Phase",
    "ResultFile",
    "RunLimitKey",
    "Schedule",
    "Status",
    "Worker",
    "default_result_lifetime",
]
