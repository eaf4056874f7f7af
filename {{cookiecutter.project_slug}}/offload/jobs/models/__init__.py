"""The rows of jobs, workers and schedules, a file each. Django finds them here."""

from offload.jobs.models.fleet import Leader, Worker
from offload.jobs.models.job import Job, default_result_lifetime
from offload.jobs.models.kept_key import KeptKey
from offload.jobs.models.operations import Operations
from offload.jobs.models.pause import Pause
from offload.jobs.models.result_file import ResultFile
from offload.jobs.models.run_limit_key import RunLimitKey
from offload.jobs.models.schedule import Schedule
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
