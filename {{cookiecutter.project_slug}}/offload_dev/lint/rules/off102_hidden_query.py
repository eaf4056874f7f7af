"""OFF102: an attribute runs a query on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, violation


@rule(
    "OFF102",
    message="is an attribute that runs a query on the event loop",
    instead="`caller(request)` in the API, `await request.auser()` in a page, "
    "`select_related()`, or the `_id` column",
    target=Target.THREAD,
)
def hidden_query(function: Function) -> Iterator[Violation]:
    """Finds reads of `request.user`, and of foreign keys that were not fetched with their row.

    Both look like plain attributes, but run a query when they are read, and raise on the loop.
    """
    for node in function.hidden_queries:
        yield violation(node)
