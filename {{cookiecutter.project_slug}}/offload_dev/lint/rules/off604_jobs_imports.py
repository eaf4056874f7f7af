"""OFF604: jobs.py imports what it may not."""

from collections.abc import Iterator

from offload_dev.lint.imports import forbidden_imports
from offload_dev.lint.names import COMPUTING_PACKAGES, WAITING_PACKAGES
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.source import Module, Project
from offload_dev.lint.violations import Violation


@rule(
    "OFF604",
    message="jobs.py declares jobs: its top loads nothing that computes, queries or calls out",
    instead="import compute.py inside of the job's function",
    target=Target.MODULE,
)
def jobs_imports(module: Module, project: Project) -> Iterator[Violation]:
    """Finds imports of models, compute.py, Django, HTTP clients and numpy at the top of `jobs.py`.

    Web processes import the file to submit jobs, so they load what it imports at its top. Imports
    inside of a job's function are right: only workers load those.
    """
    return forbidden_imports(
        module,
        project,
        file="jobs",
        packages=["django", "asyncio", "celery", *WAITING_PACKAGES, *COMPUTING_PACKAGES],
        modules={"models", "upstreams", "api", "compute"},
        in_functions=False,
    )
