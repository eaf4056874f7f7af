"""Durable jobs: a view submits one, a worker process computes it.

`docs/reference/jobs.md` says what is promised.

A feature imports everything it needs from here. The names are loaded when they are first used
(PEP 562), because Django imports this package before its models may be imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.jobs.client import cancel as cancel
    from offload.jobs.client import discard as discard
    from offload.jobs.client import find as find
    from offload.jobs.client import retry as retry
    from offload.jobs.client import submit as submit
    from offload.jobs.client import submit_many as submit_many
    from offload.jobs.client import submit_sync as submit_sync
    from offload.jobs.declare import Report as Report
    from offload.jobs.declare import job as job
    from offload.jobs.errors import InvalidJob as InvalidJob
    from offload.jobs.errors import JobError as JobError
    from offload.jobs.followers import JobEnded as JobEnded
    from offload.jobs.idempotency import Idempotency as Idempotency
    from offload.jobs.idempotency import repeated as repeated
    from offload.jobs.job_type import FailedPart as FailedPart
    from offload.jobs.job_type import JobType as JobType
    from offload.jobs.job_view import JobView as JobView
    from offload.jobs.job_view import accepted as accepted
    from offload.jobs.limits import Limits as Limits
    from offload.jobs.overview import Overview as Overview
    from offload.jobs.overview import read_overview as read_overview
    from offload.jobs.run_limit import RunLimit as RunLimit
    from offload.jobs.watch import watch_login as watch_login
    from offload.jobs.web_process import lifespan as lifespan

# Bytes in a mebibyte, for `memory_limit`.
MiB = 2**20

# The module of each name. No module may have the name of an export: Python would put the module in
# its place as soon as anybody imports it.
_MODULES = {
    "FailedPart": "job_type",
    "Idempotency": "idempotency",
    "InvalidJob": "errors",
    "JobEnded": "followers",
    "JobError": "errors",
    "JobType": "job_type",
    "JobView": "job_view",
    "Limits": "limits",
    "Overview": "overview",
    "Report": "declare",
    "RunLimit": "run_limit",
    "accepted": "job_view",
    "cancel": "client",
    "discard": "client",
    "find": "client",
    "job": "declare",
    "lifespan": "web_process",
    "read_overview": "overview",
    "repeated": "idempotency",
    "retry": "client",
    "submit": "client",
    "submit_many": "client",
    "submit_sync": "client",
    "watch_login": "watch",
}

__all__ = ["MiB", *_MODULES]


# A type checker reads the imports above instead, and so it finds misspelt names.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
