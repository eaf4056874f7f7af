"""OFF002: a comment suppresses a finding, but gives no reason."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.report.suppressions import Suppressions


@rule(
    "OFF002",
    message="suppresses a finding without a reason",
    instead="write `# offload: allow OFF…: the reason`",
    target=Target.SUPPRESSIONS,
)
def suppression_without_reason(suppressions: Suppressions) -> Iterator[Violation]:
    """Finds suppressions without a reason, which the next reader needs. They suppress nothing."""
    for found in suppressions.unused:
        if not found.reason:
            yield Violation(found.line, f"`allow {found.rule}`", file=found.file)
