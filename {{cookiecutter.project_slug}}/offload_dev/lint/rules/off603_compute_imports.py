"""OFF603: compute.py imports what it may not."""

from collections.abc import Iterator

from offload_dev.lint.calls.imports import forbidden_imports
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.source.names import WAITING_PACKAGES
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module


@rule(
    "OFF603",
    message="compute.py computes: it takes plain data, returns plain data, and knows nothing else",
    instead="pass the data in as arguments, and return the result",
    target=Target.MODULE,
)
def compute_imports(module: Module, project: Project) -> Iterator[Violation]:
    """Finds imports of Django, `offload`, asyncio, Celery and HTTP clients in `compute.py`.

    A worker process that waits for a database or a network does not use its core. Plain functions
    are tested without either.
    """
    return forbidden_imports(
        module,
        project,
        file="compute",
        packages=["django", "offload", "asyncio", "celery", *WAITING_PACKAGES],
        modules={"models", "rows", "upstreams", "jobs", "api"},
    )
