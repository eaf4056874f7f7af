"""OFF602: upstreams.py imports what it may not."""

from collections.abc import Iterator

from offload_dev.lint.calls.imports import forbidden_imports
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.source.names import COMPUTING_PACKAGES
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module


@rule(
    "OFF602",
    message="upstreams.py declares other services: it knows no rows, no tasks and no computing",
    instead="declare upstreams there, and nothing else",
    target=Target.MODULE,
)
def upstreams_imports(module: Module, project: Project) -> Iterator[Violation]:
    """Finds imports of models, jobs, Celery and numpy in `upstreams.py`.

    The file is to be read at a glance, and imported without a database and without a broker.
    """
    return forbidden_imports(
        module,
        project,
        file="upstreams",
        packages=["django.db", "celery", *COMPUTING_PACKAGES],
        modules={"models", "rows", "compute", "jobs"},
    )
