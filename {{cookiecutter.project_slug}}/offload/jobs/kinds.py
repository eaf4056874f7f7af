"""`@job`: binds a plain function to a kind of job, with its limits. Everything wrong is said at
import.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from celery import current_app, shared_task
from pydantic import BaseModel

from offload.jobs.execute import JobFailed, execute


class Report(Protocol):
    """What a compute function calls as it goes on; raises `Cancelled` or `LeaseLost` when it should
    stop.
    """

    def __call__(self, fraction: float, message: str = "") -> None:
        """Say how far the work is: `fraction` from 0 to 1, `message` up to 200 characters. Cheap to
        call often.
        """


class InvalidJob(Exception):
    """A job is declared wrongly; the sentence says what to write instead."""


class UnknownKind(LookupError):
    """No such kind of job; the sentence lists those there are."""


P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class JobKind(Generic[P, R]):
    """A registered kind of job: the function, its pydantic models and its limits (seconds, bytes)."""

    kind: str
    function: Callable[..., R]
    params: type[P]
    result: type[R]
    queue: str
    soft_time_limit: float
    time_limit: float
    memory_limit: int
    max_attempts: int
    retry_on: tuple[type[Exception], ...]
    retry_delay: float
    result_lifetime: float | None
    unique: bool
    every: float | None
    split: "Callable[[P], Sequence[BaseModel]] | None"
    part: "JobKind[Any, Any] | None"

    def preload(self) -> None:
        """Run the imports in the function's body, so that a broken one is found at worker start and
        shared by forks.
        """
        source = textwrap.dedent(inspect.getsource(self.function))
        package = self.function.__module__.rpartition(".")[0]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module("." * node.level + (node.module or ""), package)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{module.__name__}.{alias.name}")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)


_kinds: dict[str, JobKind[Any, Any]] = {}


def job(
    kind: str,
    *,
    time_limit: float,
    memory_limit: int,
    queue: str = "cpu",
    soft_time_limit: float | None = None,
    max_attempts: int = 3,
    retry_on: tuple[type[Exception], ...] = (),
    retry_delay: float = 5.0,
    result_lifetime: float | None = None,
    unique: bool = False,
    every: float | None = None,
    split: Callable[[P], Sequence[BaseModel]] | None = None,
    part: "JobKind[Any, Any] | None" = None,
) -> Callable[[Callable[..., R]], JobKind[P, R]]:
    """Declare a job. The function takes a pydantic model and a `Report`, and returns a pydantic
    model.

    A divided job names a `split`, which makes a list of parameters of another job, the `part`. Its
    function puts the parts' results together, once all have succeeded: `def name(params:
    ParamsModel, parts: list[PartResult])`.

    Args:
        kind: the job's name for ever: rows, Flower and logs show it. By custom `feature.name`.
        time_limit: hard limit in seconds; the process is killed and the job fails, without another
            attempt.
        memory_limit: bytes of data the process may allocate; beyond it `MemoryError` fails the job
            (Linux).
        queue: `cpu` for computing, `default` for housekeeping.
        soft_time_limit: seconds until `SoftTimeLimitExceeded` is raised in the function; 95 % of
            the hard one unless told.
        max_attempts: starts in all, when workers die under the job or an error of `retry_on` is
            raised.
        retry_on: errors worth another attempt (a full disk, not a wrong formula).
        retry_delay: seconds before that attempt; doubles with each.
        result_lifetime: seconds until a finished job is deleted; the service's default unless told.
        unique: while an owner has an unfinished job with the same parameters, submitting gives that
            one.
        every: seconds between starts by the service itself, with the parameters' defaults and the
            owner `schedule`.
        split: divides the parameters into those of the parts, at least one.
        part: the job that computes one part.

    Raises:
        InvalidJob: a coroutine function, missing or wrong annotations, or a kind that is taken.
    """

    def bind(function: Callable[..., R]) -> JobKind[P, R]:
        if (split is None) != (part is None):
            raise InvalidJob(
                f"job {kind!r}: split and part go together, the one makes parameters for the other"
            )
        params, result = _models(kind, function, part)
        declared = JobKind(
            kind=kind,
            function=function,
            params=params,
            result=result,
            queue=queue,
            soft_time_limit=soft_time_limit or time_limit * 0.95,
            time_limit=time_limit,
            memory_limit=memory_limit,
            max_attempts=max_attempts,
            retry_on=retry_on,
            retry_delay=retry_delay,
            result_lifetime=result_lifetime,
            unique=unique,
            every=every,
            split=split,
            part=part,
        )
        if kind in _kinds:
            other = _kinds[kind].function
            raise InvalidJob(
                f"job {kind!r} is declared twice: in {other.__module__} and in {function.__module__}"
            )
        if time_limit <= 0 or memory_limit <= 0 or max_attempts < 1:
            raise InvalidJob(
                f"job {kind!r}: time_limit, memory_limit and max_attempts must be positive"
            )
        queues = current_app.amqp.queues
        if queue not in queues:
            raise InvalidJob(
                f"job {kind!r}: config/celery.py declares no queue {queue!r}, only {', '.join(queues)}"
            )
        _kinds[kind] = declared
        _register_task(declared)
        return declared

    return bind


def find(kind: str) -> JobKind[Any, Any]:
    """The registered kind, or `UnknownKind` with a sentence that lists the known ones."""
    try:
        return _kinds[kind]
    except KeyError:
        raise UnknownKind(
            f"no job of kind {kind!r}: known are {', '.join(sorted(_kinds)) or 'none'}. "
            f"Is its app in INSTALLED_APPS and the job declared in the app's jobs.py?"
        ) from None


def all_kinds() -> list[JobKind[Any, Any]]:
    """Every kind registered in this process."""
    return list(_kinds.values())


def _models(
    kind: str, function: Callable[..., Any], part: "JobKind[Any, Any] | None"
) -> tuple[type[Any], type[Any]]:
    if inspect.iscoroutinefunction(function):
        raise InvalidJob(
            f"job {kind!r} is async: a worker computes. Write `def`, and await upstreams in api.py"
        )
    hints = get_type_hints(function)
    names = list(inspect.signature(function).parameters)
    second = f"parts: list[{part.result.__name__}]" if part else "report: Report"
    wanted = list[part.result] if part else Report  # type: ignore[name-defined]  # a model known at run time
    if (
        len(names) != 2
        or any(name not in hints for name in [*names, "return"])
        or hints[names[1]] != wanted
    ):
        raise InvalidJob(
            f"job {kind!r} must read `def name(params: ParamsModel, {second}) -> ResultModel`"
        )
    for role, model in (("parameter", hints[names[0]]), ("result", hints["return"])):
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise InvalidJob(
                f"job {kind!r}: its {role} must be annotated with a pydantic model, not {model!r}"
            )
    return hints[names[0]], hints["return"]


def _register_task(declared: JobKind[Any, Any]) -> None:
    """One Celery task a kind, so that Flower groups by it; its one argument is the job's id, never
    a payload.
    """

    @shared_task(  # type: ignore[call-overload,untyped-decorator]  # limits may be fractions of a second
        name=declared.kind,
        soft_time_limit=declared.soft_time_limit,
        time_limit=declared.time_limit,
        # A failed job is a failed task, without a second traceback in the log.
        throws=(JobFailed,),
    )
    def run(job_id: str) -> str:
        return execute(declared, job_id)
