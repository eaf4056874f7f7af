"""OFF601: api.py imports what it may not."""

from collections.abc import Iterator

from offload_dev.lint.imports import forbidden_imports
from offload_dev.lint.names import COMPUTING_PACKAGES, WAITING_PACKAGES
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.source import Module, Project
from offload_dev.lint.violations import Violation


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
