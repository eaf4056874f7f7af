"""Tells an error that another transaction is the reason of from an outage.

Only PostgreSQL names the reason. Where SQLite's one write lock is not free in time, no other
process can write either, such as the renewal of a lease: that counts as an outage.
"""

# The codes (SQLSTATE, appendix A) with which PostgreSQL ends a transaction because of another one:
# serialization_failure, deadlock_detected. The first one comes above READ COMMITTED, also to reads.
CONFLICT_CODES = ("40001", "40P01")
# Those, and lock_not_available: a lock was not free in time. They say nothing about the connection.
LOCK_CONFLICT_CODES = (*CONFLICT_CODES, "55P03")
# query_canceled: the statement took longer than `statement_timeout`, or an operator ended it.
QUERY_CANCELED = "57014"
# too_many_connections: of the requests of this process (`connection_slots.py`), or of the server.
TOO_MANY_CONNECTIONS = "53300"


def is_conflict(error: BaseException) -> bool:
    """Whether PostgreSQL ended the transaction because of another one. It may be tried again."""
    return sqlstate(error) in CONFLICT_CODES


def is_lock_conflict(error: BaseException) -> bool:
    """Whether a statement was refused for another transaction's sake, and not for an outage."""
    return sqlstate(error) in LOCK_CONFLICT_CODES


def why_refused(error: BaseException) -> str:
    """How a log line about an error of the database begins."""
    if is_lock_conflict(error):
        return "other transactions are in the way"
    return "the database does not answer"


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code of an error of Django; None where the server gave none."""
    # Django's error has the driver's as its cause.
    code: str | None = getattr(error.__cause__, "sqlstate", None)
    return code
