"""OFF604: jobs.py imports what it may not."""

from collections.abc import Iterator

from offload_dev.lint.calls.imports import forbidden_imports
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.source.names import COMPUTING_PACKAGES, WAITING_PACKAGES
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module

AWAIT_BEFORE = (
    "await the service in the endpoint, and pass what it answered as a parameter; a job whose "
    "purpose is the call says so (docs/recipes/call-another-service.md)"
)


@rule(
    "OFF604",
    message="jobs.py declares jobs: it neither queries nor calls out, "
    "and its top loads no compute.py",
    instead="pass the data in as parameters, query in rows.py, and import compute.py inside of the "
    "job's function",
    target=Target.MODULE,
)
def jobs_imports(module: Module, project: Project) -> Iterator[Violation]:
    """Finds two kinds of imports in `jobs.py`.

    1. Models, Django, Celery and HTTP clients, anywhere in the file: a job gets its data as
       parameters, or from the functions of rows.py, and a worker process that waits does not use
       its core.
    2. compute.py, numpy and its like, at the top: web processes import the file to submit jobs, so
       they load what it imports there. Inside of a job's function only workers load it.
    """
    yield from forbidden_imports(
        module,
        project,
        file="jobs",
        packages=["django", "celery"],
        modules={"models", "api"},
    )
    yield from forbidden_imports(
        module,
        project,
        file="jobs",
        packages=WAITING_PACKAGES,
        modules={"upstreams"},
        instead=AWAIT_BEFORE,
    )
    yield from forbidden_imports(
        module,
        project,
        file="jobs",
        packages=["asyncio", *COMPUTING_PACKAGES],
        modules={"compute"},
        in_functions=False,
    )
