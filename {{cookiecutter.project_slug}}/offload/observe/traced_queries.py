"""Makes a span of each database statement that a sampled trace waits for."""

import re
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from offload.observe.tracing import tracing

OPERATION = re.compile(r"\s*([A-Za-z]+)")
# What is named otherwise is `_OTHER`: a span's name must have few values.
OPERATIONS = frozenset(
    [
        *("BEGIN", "CALL", "COMMIT", "DELETE", "INSERT", "LISTEN", "LOCK", "MERGE", "NOTIFY"),
        *("PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW", "UPDATE", "WITH"),
    ]
)
# As Django writes it: the first table of the statement.
TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE)\s+"(\w{1,100})"')


def trace_queries() -> None:
    """Make these spans, if this process traces: on this thread's connections, and on new ones."""
    if not tracing.is_on:
        return
    connection_created.connect(_trace_connection, dispatch_uid="offload-traced-queries")
    for connection in connections.all(initialized_only=True):
        _trace_connection(connection=connection)


def _trace_connection(connection: Any, **_: Any) -> None:
    # A connection that is opened again is the same object.
    if traced_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(traced_query)


def traced_query(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Called by Django around each statement.

    Neither the statement nor its parameters are on the span: both may hold what a caller sent.
    """
    parent = tracing.current()
    # A stream's body goes on after the end of its request's span, maybe for hours.
    if parent is None or not parent.is_recording():
        return execute(sql, params, many, context)

    text = sql if isinstance(sql, str) else ""
    found = OPERATION.match(text)
    operation = found[1].upper() if found and found[1].upper() in OPERATIONS else "_OTHER"
    table = TABLE.search(text)
    attributes = {
        "db.system.name": context["connection"].vendor,
        "db.operation.name": operation,
        **({"db.collection.name": table[1]} if table else {}),
    }
    name = f"{operation} {table[1]}" if table else operation
    span = tracing.begin(name, "CLIENT", parent, attributes=attributes)
    try:
        return execute(sql, params, many, context)
    except Exception as error:
        tracing.fail(span, f"{type(error).__module__}.{type(error).__qualname__}")
        raise
    finally:
        span.end()
