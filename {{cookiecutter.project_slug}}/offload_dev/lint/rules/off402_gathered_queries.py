"""OFF402: queries are started at the same time, but run one after the other."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.serialized_queries import serialized_queries
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function


@rule(
    "OFF402",
    message="starts several queries at once, but they run one after the other",
    instead="one query for all of it, or one `await` after the other",
    target=Target.ASYNC_FUNCTION,
)
def gathered_queries(function: Function) -> Iterator[Violation]:
    """Finds `gather` and `TaskGroup` with several queries.

    A request has one thread for its queries, so they are no faster than one after the other.
    """
    for call in serialized_queries(function):
        yield call_violation(call)
