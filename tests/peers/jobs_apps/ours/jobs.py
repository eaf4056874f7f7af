"""The job of the generated service."""

from pydantic import BaseModel

from jobs_apps.work import note
from offload.jobs import MiB, Report, job


class Note(BaseModel):
    path: str
    seconds: float = 0.0


class Nothing(BaseModel):
    pass


@job("peers.note", time_limit=600, memory_limit=256 * MiB)
def write_note(params: Note, report: Report) -> Nothing:
    note(params.path, params.seconds)
    return Nothing()
