"""Finds what a transaction of the service does too early or too long, or what misses one.

A test with a transaction around it hides these faults, and so does SQLite. The test's own
transaction does not count here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from offload_dev.pytest.watched_calls import Method, complain_before

PUBLISHING = (
    Method("celery.app.task", "Task", "apply_async"),
    Method("celery.app.base", "Celery", "send_task"),
    Method("huey.api", "Huey", "enqueue"),
    Method("dramatiq.broker", "Broker", "enqueue"),
    Method("rq.queue", "Queue", "enqueue_call"),
)
CALLING = (
    Method("http.client", "HTTPConnection", "putrequest"),
    Method("httpx", "Client", "send"),
    Method("smtplib", "SMTP", "connect"),
)
LOCKING = (Method("django.db.models.sql.compiler", "SQLCompiler", "execute_sql"),)

PUBLISHES = "publishes before the transaction commits: docs/guard/OFF306.md"
CALLS = "waits for another service inside of a transaction: docs/guard/OFF110.md"
LOCKS = "locks rows outside of a transaction: docs/guard/OFF111.md"


@contextmanager
def find_misuse(found: list[str]) -> Iterator[None]:
    """Add a sentence for each misuse of a transaction while this context is open."""

    def publishes(*_: Any, **__: Any) -> str | None:
        return PUBLISHES if _in_transaction() else None

    def calls(*_: Any, **__: Any) -> str | None:
        return CALLS if _in_transaction() else None

    def locks(compiler: Any, *_: Any, **__: Any) -> str | None:
        missing = compiler.query.select_for_update and not _has_block(compiler.connection)
        return LOCKS if missing else None

    with (
        complain_before(PUBLISHING, publishes, found),
        complain_before(CALLING, calls, found),
        complain_before(LOCKING, locks, found),
    ):
        yield


def _in_transaction() -> bool:
    """Whether the service has opened a transaction in this thread."""
    return any(_has_block(connection) for connection in connections.all(initialized_only=True))


def _has_block(connection: Any) -> bool:
    """Whether an `atomic()` is open on a connection which Django's TestCase has not opened."""
    return any(
        not getattr(block, "_from_testcase", False)  # Django 5.2 and newer call it so.
        for block in connection.atomic_blocks
    )
