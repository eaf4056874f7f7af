"""The limits of a job type, and what makes them wrong."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from offload.celery_app import STAND_IN_APP, celery_app
from offload.jobs.errors import InvalidJob
from offload.jobs.priority import Priority, PriorityName
from offload.jobs.recurrence import Recurrence, recurrence_of
from offload.jobs.run_limit import SEPARATOR, RunLimit

# The largest share that chance adds to the delay before another attempt.
RETRY_JITTER = 0.2
# As the column has it.
MAX_ATTEMPTS = 32_767
# A hundred years. Neither Python nor the databases have times for what is much longer, as `inf`.
MAX_SECONDS = 100 * 365.25 * 86_400
# The limits that are seconds.
SECONDS = (
    "time_limit",
    "retry_delay",
    "retry_delay_max",
    "result_lifetime",
    "start_within",
    "every",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a job type. Times are in seconds, sizes in bytes.

    Args:
        time_limit: seconds until the process is killed and the job fails, without another attempt.
            It ends when the function returns; writing the result does not count.
        memory_limit: bytes of data that the job may add to its process; beyond it `MemoryError`
            fails the job (Linux only).
        queue: `cpu` for computing, `default` for housekeeping.
        priority: `high`, `normal` or `low`: which jobs of a queue workers take first. Within a
            priority, jobs of owners with few waiting jobs come first.
        run_limit: how many jobs run at once, or start in a time, in all workers together; see
            `RunLimit`.
        soft_time_limit: seconds until `SoftTimeLimitExceeded` is raised in the function; 95 % of
            `time_limit` if not given.
        max_attempts: starts in all. A job starts again when its worker dies, or when the function
            raises an error of `retry_on`.
        retry_on: errors worth another attempt (a full disk, not a wrong formula).
        retry_delay: seconds before the second attempt; each further delay is twice as long. Up to
            20 % are added by chance, so that jobs that failed together do not start together.
        retry_delay_max: seconds that no such delay exceeds.
        result_lifetime: seconds until a finished job is deleted; the service's default if not
            given.
        start_within: seconds after which a job that has not begun fails instead; they count from
            its submission, or from its `run_at`. A job that has begun in time is tried again later,
            too. No such deadline if not given.
        unique: while an owner has an unfinished job with the same parameters, submitting returns
            that job.
        every: seconds between two jobs that the service submits by itself, with the parameters'
            defaults and the owner `schedule`. A parameter `scheduled_at` gets the moment.
        cron: when the service does so instead: minute, hour, day of the month, month and weekday (0
            or `sun` to 6), as in `30 6 * * mon-fri`.
        timezone: whose clock `cron` goes by, as an IANA name; `recurrence.py` says what a clock
            change does.
        catch_up: what is submitted for moments that were missed while no process ran, or the
            database was down: the `last` of them, `none`, or `all` up to 100.
        overlap: whether a moment is to `skip` while an earlier job of the schedule is unfinished.
    """

    time_limit: float
    memory_limit: int
    queue: str = "cpu"
    priority: PriorityName = "normal"
    run_limit: RunLimit | None = None
    soft_time_limit: float | None = None
    max_attempts: int = 3
    retry_on: tuple[type[Exception], ...] = ()
    retry_delay: float = 5.0
    retry_delay_max: float = 600.0
    result_lifetime: float | None = None
    start_within: float | None = None
    unique: bool = False
    every: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    catch_up: Literal["none", "last", "all"] = "last"
    overlap: Literal["allow", "skip"] = "allow"

    @property
    def soft_limit(self) -> float:
        """Seconds until the function is asked to end by itself."""
        return self.soft_time_limit or self.time_limit * 0.95

    @property
    def priority_level(self) -> Priority:
        """The priority as rows have it."""
        return Priority.named(self.priority)

    @property
    def recurrence(self) -> Recurrence | None:
        """When the service submits the job by itself; None where it does not."""
        return recurrence_of(self.every, self.cron, self.timezone)

    def delay_before_retry(self, attempts: int) -> float:
        """Seconds between a failed attempt and the next one.

        Args:
            attempts: how many attempts have failed.
        """
        delay = min(self.retry_delay * 2.0 ** min(attempts - 1, 60), self.retry_delay_max)
        return min(delay * random.uniform(1.0, 1.0 + RETRY_JITTER), self.retry_delay_max)

    def check(self, name: str) -> None:
        """Refuse limits that contradict each other.

        Args:
            name: the job type's name, for the sentence.

        Raises:
            InvalidJob: the sentence says what to write instead.
        """
        for fault in self._faults(name):
            raise InvalidJob(f"job {name!r}: {fault}")

    def _faults(self, name: str) -> Iterator[str]:
        for field in SECONDS:
            seconds = getattr(self, field)
            # No comparison with NaN holds.
            if seconds is not None and not seconds <= MAX_SECONDS:
                yield f"{field} is at most {MAX_SECONDS:.0f} seconds (100 years), not {seconds:g}"
        if self.max_attempts > MAX_ATTEMPTS:
            yield f"max_attempts is at most {MAX_ATTEMPTS}, not {self.max_attempts}"
        if self.time_limit <= 0 or self.memory_limit <= 0 or self.max_attempts < 1:
            yield "time_limit, memory_limit and max_attempts must be positive"
        if self.soft_time_limit is not None and not 0 < self.soft_time_limit < self.time_limit:
            yield (
                f"soft_time_limit must be between 0 and the time_limit of {self.time_limit:g} s, "
                f"not {self.soft_time_limit:g}"
            )
        if not 0 <= self.retry_delay <= self.retry_delay_max:
            yield (
                f"retry_delay must be between 0 and the retry_delay_max of "
                f"{self.retry_delay_max:g} s, not {self.retry_delay:g}"
            )
        for field in ("result_lifetime", "start_within"):
            seconds = getattr(self, field)
            if seconds is not None and seconds <= 0:
                yield f"{field} must be positive, not {seconds:g}"
        yield from self._faults_of_recurrence()
        yield from self._faults_of_order(name)
        yield from self._faults_of_queue()

    def _faults_of_recurrence(self) -> Iterator[str]:
        try:
            recurrence_of(self.every, self.cron, self.timezone)
        except ValueError as error:
            yield str(error)

        for field in ("catch_up", "overlap"):
            value, known = getattr(self, field), get_args(get_type_hints(Limits)[field])
            if value not in known:
                yield f"{field} is {' or '.join(known)}, not {value!r}"
        if (self.catch_up, self.overlap) == ("all", "skip"):
            yield (
                "catch_up='all' submits several jobs at once, of which overlap='skip' would skip "
                "all but the first. Give one of the two"
            )

    def _faults_of_order(self, name: str) -> Iterator[str]:
        try:
            Priority.named(self.priority)
        except ValueError as error:
            yield str(error)

        if self.run_limit is not None:
            if fault := self.run_limit.fault():
                yield fault
            if SEPARATOR in name:
                yield f"the name of a limited job has no {SEPARATOR!r}"

    def _faults_of_queue(self) -> Iterator[str]:
        app = celery_app()
        if self.queue in app.amqp.queues:
            return

        where = (
            "in the `__init__.py` of the settings' package: web process and workers load that first"
        )
        if app.main == STAND_IN_APP:
            yield f"the service's Celery app is not imported. Import it {where}"
        else:
            yield (
                f"config/celery.py declares no queue {self.queue!r}, only "
                f"{', '.join(app.amqp.queues)}. This is the Celery app {app.main!r}; if it is not "
                f"the service's own, import that {where}"
            )
