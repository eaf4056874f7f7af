"""Tells which errors mean "not now": they are answered 503 with `Retry-After`, and not 500."""

import logging
from typing import Any

from django.db import InterfaceError, OperationalError

from offload.postgresql.conflicts import is_lock_conflict
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

    Three cases: 1. a `Problem` that was raised outside of ninja; 2. PostgreSQL has ended the
    request's transaction because of another one; 3. the database cannot be reached, has no more
    connections, or did not answer in time. The reason of cases 2 and 3 is logged in one line, since
    a traceback for each request of an outage would hide everything else.
    """
    if isinstance(error, Problem):
        return error
    if error is None or not is_database_away(error):
        return None

    if is_lock_conflict(error):
        told = "Other requests change the same data at this moment"
        advice = "Look for transactions that write the same rows in another order, or last long."
    else:
        told = "The database does not answer"
        advice = "Look at the database and its number of connections."
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


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database refused or did not answer, rather than found a fault in the query.

    PostgreSQL's drivers raise `OperationalError` for this alone: no connection, too many of them, a
    shutdown, a timeout, a deadlock. SQLite's raises it for a wrong query, too, and has a code.
    """
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    code: Any = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & 0xFF in SQLITE_NOT_NOW
