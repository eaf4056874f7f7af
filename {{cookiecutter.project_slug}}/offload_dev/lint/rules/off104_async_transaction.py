"""OFF104: a transaction is opened in async code."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.snippet import snippet


@rule(
    "OFF104",
    message="opens a transaction in async code",
    instead="one sync function with `atomic`, called through `sync_to_async`",
    target=Target.THREAD,
)
def async_transaction(function: Function) -> Iterator[Violation]:
    """Finds `transaction.atomic()` blocks.

    Django has no async transactions: the connection belongs to a thread, so the whole transaction
    has to run in that thread.
    """
    for block in function.blocks:
        if block.origin == "django.db.transaction.atomic":
            yield violation(block.node, snippet(block.manager))
