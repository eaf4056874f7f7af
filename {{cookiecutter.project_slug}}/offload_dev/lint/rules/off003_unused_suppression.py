"""OFF003: a comment suppresses a finding that is not there."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.report.suppressions import Suppressions


@rule(
    "OFF003",
    message="suppresses nothing",
    instead="delete the comment",
    target=Target.SUPPRESSIONS,
    severity="warning",
)
def unused_suppression(suppressions: Suppressions) -> Iterator[Violation]:
    """Finds suppressions whose line is right: the comment now says something that is not true."""
    for found in suppressions.unused:
        if found.reason:
            yield Violation(found.line, f"`allow {found.rule}`", file=found.file)
