"""Queries that lock rows, and whether they run in a transaction."""

from collections.abc import Iterator

from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.names import ASYNC_QUERIES, ORM

LOCK = "select_for_update"


def locking_calls(function: Function) -> Iterator[CallSite]:
    """The calls, outside of any transaction of the function, that run a query which locks rows."""
    resolver = function.resolver
    for call in function.calls:
        if LOCK not in call.holder.split(".") or call.atomic:
            continue
        runs = call.method in ORM["evaluating"] or call.method in ASYNC_QUERIES
        # A lock of nothing, and a query inside of another one, run no query themselves.
        if runs and resolver.queries.is_query(call.holder):
            yield call
