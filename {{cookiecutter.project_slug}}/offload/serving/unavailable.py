"""Tells which errors mean "not now": they are answered 503 with `Retry-After`, and not 500."""

import logging
from typing import Any

from django.db import InterfaceError, OperationalError

from offload.postgresql.conflicts import (
    QUERY_CANCELED,
    TOO_MANY_CONNECTIONS,
    is_lock_conflict,
    sqlstate,
)
from offload.problems import Problem

logger = logging.getLogger("offload.serving")

# Seconds. A restarted PostgreSQL accepts connections after about this time.
DATABASE_RETRY_AFTER_SECONDS = 2
# SQLite's primary result codes (sqlite.org/rescode.html) for a file that is busy, locked, on a file
# system that is full or only reads, or cannot be read, opened or locked. `SQLITE_ERROR`, such as a
# missing table, is a fault of the service.
SQLITE_NOT_NOW = {5, 6, 8, 10, 13, 14, 15}


def unavailable(error: BaseException | None) -> Problem | None:
    """The 503 for an error that a later request may not meet; None for any other error.

    Two cases: 1. a `Problem` that was raised outside of ninja; 2. the database refused or did not
    answer. Its reason is logged in one line, since a traceback for each request of an outage would
    hide everything else.
    """
    if isinstance(error, Problem):
        return error
    if error is None or not is_database_away(error):
        return None

    told, advice = _why(error)
    logger.warning(
        "%s, so a request is answered 503 (%s: %s). %s",
        told,
        type(error).__name__,
        " ".join(str(error).split()),
        advice,
    )
    return Problem(
        503,
        f"{told}. Try again in a moment.",
        headers={"Retry-After": str(DATABASE_RETRY_AFTER_SECONDS)},
    )


def _why(error: BaseException) -> tuple[str, str]:
    """What the client is told, and what somebody on call looks at."""
    if is_lock_conflict(error):
        return (
            "Other requests change the same data at this moment",
            "Look for transactions that write the same rows in another order, or last long.",
        )
    if sqlstate(error) == QUERY_CANCELED:
        return (
            "The database ended a query, most often because it took too long",
            "Look for slow queries, and for transactions that hold a lock. The limit is "
            "statement_timeout (DATABASE_STATEMENT_TIMEOUT). An operator may also have ended it.",
        )
    if sqlstate(error) == TOO_MANY_CONNECTIONS:
        return (
            "All database connections are in use",
            "Look for slow queries. The limits are max_request_connections of a process, and "
            "max_connections of PostgreSQL or of its pooler.",
        )
    return "The database does not answer", "Look at the database and its number of connections."


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database refused or did not answer, rather than found a fault in the query.

    PostgreSQL's drivers raise `OperationalError` for this alone: no connection, too many of them, a
    shutdown, a timeout, a deadlock. SQLite's raises it for a wrong query, too, and has a code.
    """
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    code: Any = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & 0xFF in SQLITE_NOT_NOW
