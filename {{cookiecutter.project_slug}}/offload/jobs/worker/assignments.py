"""Which process works on which job: a table in the memory that a worker's processes share.

The main process reads it. Each process that computes writes its own record, so the table is true
while the broker, the database and Celery's loop are away. A row that is held by this worker and by
no living process of the table is an orphan (`orphans.py`).
"""

import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from math import inf
from uuid import UUID

from billiard.process import current_process

from offload.jobs.limits import Limits
from offload.jobs.models import Job
from offload.jobs.worker.processes import process_is_alive, signal_if


class Activity(IntEnum):
    """What a process does."""

    IDLE = 0
    # It asks the database for the job and has no token yet.
    CLAIMING = 1
    # The job's function runs.
    COMPUTING = 2
    # The function has ended, and the process writes how.
    WRITING = 3
    # File storage is to take the job's result, or to give those of its parts. It may hang.
    STORAGE = 4


@dataclass(frozen=True)
class Assignment:
    """One process's record.

    Args:
        pid: the process.
        job_id: the job that it works on.
        token: the fencing token of its claim; 0 while it claims.
        activity: what it does.
        soft_limit_at: when the function is asked to end, by `time.monotonic()` in seconds.
        hard_limit_at: when the process is killed, by the same clock, which all processes of a host
            share.
    """

    pid: int
    job_id: UUID
    token: int = 0
    activity: Activity = Activity.CLAIMING
    soft_limit_at: float = 0.0
    hard_limit_at: float = 0.0

    def is_for(self, job: Job) -> bool:
        """Whether the process works on this row, or is about to learn that it does."""
        claiming = self.activity == Activity.CLAIMING
        return self.job_id == job.pk and (claiming or self.token == job.token)

    @property
    def may_be_killed(self) -> bool:
        """Whether a time limit, a cancel or a lost lease ends the process."""
        return self.activity in (Activity.COMPUTING, Activity.STORAGE)


# pid, job id, token, activity, soft and hard limit.
_RECORD = struct.Struct("<i16sqBdd")
_CHECKSUM = struct.Struct("<I")
RECORD_BYTES = 64
# Flower can let a pool grow while it runs.
SPARE_RECORDS = 64
# Tries to read a record that another process writes at the same moment; a write takes some 0.1 us.
READ_TRIES = 5


class Assignments:
    """The table. It is made before the pool forks.

    Args:
        processes: how many processes the pool may have at its start.
    """

    def __init__(self, processes: int) -> None:
        self._records = processes + SPARE_RECORDS
        # Anonymous and shared with forked processes.
        self._memory = mmap.mmap(-1, self._records * RECORD_BYTES)

    def slot(self) -> "Slot":
        """The record of the process that calls this.

        Raises:
            RuntimeError: the pool has grown by more than 64 processes.
        """
        # The pool numbers its processes from 0, and a new process takes a dead one's number.
        number = getattr(current_process(), "index", 0)
        if number >= self._records:
            raise RuntimeError(
                f"this worker's pool has grown to {number + 1} processes, {self._records} are "
                "possible: start it with a higher --concurrency"
            )
        return Slot(self._memory, number * RECORD_BYTES)

    def working(self) -> list[Assignment]:
        """The records of living processes that work on a job."""
        records = (self._read(number * RECORD_BYTES) for number in range(self._records))
        return [record for record in records if record and process_is_alive(record.pid)]

    def still_there(self, assignment: Assignment) -> bool:
        """Whether a process still does exactly this."""
        return assignment in self.working()

    def signal(self, assignment: Assignment, number: int) -> bool:
        """Signal a process if it still does exactly this. Returns whether it was sent."""
        return signal_if(partial(self.still_there, assignment), assignment.pid, number)

    def _read(self, offset: int) -> Assignment | None:
        """One record; None where its process is idle."""
        for _ in range(READ_TRIES):
            data = self._memory[offset : offset + RECORD_BYTES]
            body = data[_CHECKSUM.size : _CHECKSUM.size + _RECORD.size]
            pid, job_id, token, activity, soft, hard = _RECORD.unpack(body)
            if activity == Activity.IDLE:
                return None
            if zlib.crc32(body) == _CHECKSUM.unpack_from(data)[0]:
                return Assignment(pid, UUID(bytes=job_id), token, Activity(activity), soft, hard)
        # Its writer died in the middle of it.
        return None


class Slot:
    """The record of this process, and what it says at the moment."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory = memory
        self._offset = offset
        self.activity = Activity.IDLE

    def claiming(self, job_id: UUID) -> None:
        """This process asks for a job."""
        self._write(job_id)

    def computing(self, job: Job, limits: Limits) -> None:
        """This process calls the job's function, whose time limits begin now."""
        now = time.monotonic()
        soft_at, hard_at = now + limits.soft_limit, now + limits.time_limit
        self._write(job.pk, job.token, Activity.COMPUTING, soft_at, hard_at)

    def in_storage(self, job: Job, seconds: float) -> None:
        """This process calls file storage, which may take so many seconds."""
        self._write(job.pk, job.token, Activity.STORAGE, inf, time.monotonic() + seconds)

    def writing(self, job: Job) -> None:
        """The function has ended; the time limits, too."""
        self._write(job.pk, job.token, Activity.WRITING)

    def idle(self) -> None:
        """This process works on no job."""
        self._write(UUID(int=0), activity=Activity.IDLE)

    def _write(
        self,
        job_id: UUID,
        token: int = 0,
        activity: Activity = Activity.CLAIMING,
        soft_limit_at: float = 0.0,
        hard_limit_at: float = 0.0,
    ) -> None:
        self.activity = activity
        record = os.getpid(), job_id.bytes, token, activity, soft_limit_at, hard_limit_at
        body = _RECORD.pack(*record)
        data = (_CHECKSUM.pack(zlib.crc32(body)) + body).ljust(RECORD_BYTES, b"\0")
        self._memory[self._offset : self._offset + RECORD_BYTES] = data


def is_worked_on(job: Job, working: Iterable[Assignment]) -> bool:
    """Whether a living process works on this row."""
    return any(assignment.is_for(job) for assignment in working)
