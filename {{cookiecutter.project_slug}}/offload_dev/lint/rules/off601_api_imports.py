"""OFF601: api.py imports what it may not."""

from collections.abc import Iterator

from offload_dev.lint.calls.imports import forbidden_imports
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.source.names import COMPUTING_PACKAGES, WAITING_PACKAGES
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module


@rule(
    "OFF601",
    message="api.py waits: it does not load what computes, "
    "and calls out only through upstreams.py and jobs.py",
    instead="call other services through upstreams.py, and compute through jobs.py",
    target=Target.MODULE,
)
def api_imports(module: Module, project: Project) -> Iterator[Violation]:
    """Finds imports of `compute.py`, Celery, HTTP clients and numpy in `api.py`.

    They cost memory and start time in every web process. A view that can import a function that
    computes will call it some day.
    """
    return forbidden_imports(
        module,
        project,
        file="api",
        packages=["celery", *WAITING_PACKAGES, *COMPUTING_PACKAGES],
        modules={"compute"},
    )
