"""OFF001: a file cannot be parsed."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.source.project import Project


@rule(
    "OFF001",
    message="this file cannot be parsed",
    instead="fix the syntax, or run the linter on the Python of the project",
    target=Target.PROJECT,
)
def unreadable_file(project: Project) -> Iterator[Violation]:
    """Finds files that Python cannot parse, since no other rule can check them.

    A newer Python than the one that runs the linter may parse them: `type Page[T] = …` needs 3.12.
    """
    for path, line, reason in project.unreadable:
        yield Violation(line, f"{reason}:", file=path)
