"""OFF001: a file cannot be parsed."""

from collections.abc import Iterator

from offload_dev.lint.registry import Target, rule
from offload_dev.lint.source import Project
from offload_dev.lint.violations import Violation


@rule(
    "OFF001",
    message="this file cannot be parsed",
    instead="fix the syntax, or run the linter on the Python of the project",
    target=Target.PROJECT,
)
def unreadable_file(project: Project) -> Iterator[Violation]:
    """Finds files that Python cannot parse, since no other rule can check them."""
    for path, line, error in project.unreadable:
        yield Violation(line, f"{error}:", file=path)
