"""A psycopg connection that gives up a server that does not answer, or refuses to work."""

import traceback
from collections.abc import Generator
from typing import Any, Self

import psycopg
from psycopg.errors import (
    IdleInTransactionSessionTimeout,
    OperationalError,
    ReadOnlySqlTransaction,
    TransactionTimeout,
)
from psycopg.pq import TransactionStatus

# psycopg wakes this often while it waits, so that a Ctrl-C is heard (its own default).
WAKE_INTERVAL_SECONDS = 0.1

# psycopg calls them errors of the program (`InternalError`). Another session may not meet them. Two
# cases: 1. the server only reads, as the old one after a failover, or where an operator chose it
# for a full disk; 2. it has ended the session of a process that stood still in a transaction.
OUTAGE_ERRORS = (ReadOnlySqlTransaction, IdleInTransactionSessionTimeout, TransactionTimeout)
# The server reports these at the begin of a session and whenever they change, since PostgreSQL 14.
READ_ONLY_REPORTS = (b"in_hot_standby", b"default_transaction_read_only")


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up a server that does not answer or only reads, and closes the connection.

    PostgreSQL's `statement_timeout` is kept by the server, so it says nothing about a server that
    is frozen. TCP's timeouts do not help either: the kernel of the frozen server still acknowledges
    what it receives.

    Attributes:
        answer_timeout: the longest wait for an answer, in seconds; None means no limit. It has to
            be longer than `statement_timeout`, which ends a slow query with a better message and
            keeps the connection.
        is_pooled: whether it leads to a pooler of transactions. A pooler does not pass on what the
            server reports later.
    """

    answer_timeout: float | None = None
    is_pooled = False

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """As psycopg's, but an attempt that fails leaves no socket open.

        psycopg leaves it to the garbage collector, since the error, its traceback and the frame
        refer to each other. A frozen server that goes on would accept each of these connections,
        and have no more for others.
        """
        try:
            return super().connect(conninfo, **options)
        except psycopg.Error as error:
            traceback.clear_frames(error.__traceback__)
            raise

    def wait(
        self,
        gen: Generator[Any, Any, Any],
        interval: float = WAKE_INTERVAL_SECONDS,
        timeout: float | None = None,
    ) -> Any:
        """Wait for an answer; every query, commit and rollback of psycopg does so here.

        Raises:
            OperationalError: the server did not answer in time, or it is one of `OUTAGE_ERRORS`.
            ReadOnlySqlTransaction: the program itself made its transaction read-only, and writes.
        """
        try:
            return self._wait_bounded(gen, interval, timeout)
        except OUTAGE_ERRORS as error:
            if isinstance(error, ReadOnlySqlTransaction) and self._server_writes():
                raise
            # The next connection may lead to another server.
            self.pgconn.finish()
            raise OperationalError(str(error)) from error

    def _server_writes(self) -> bool:
        """Whether only this transaction is read-only, by a `SET TRANSACTION READ ONLY` for example.

        Where that is not certain, the server counts as one that only reads. Nothing is lost then.
        """
        in_transaction = self.pgconn.transaction_status == TransactionStatus.INERROR
        reports = [self.pgconn.parameter_status(name) for name in READ_ONLY_REPORTS]
        return in_transaction and not self.is_pooled and all(each == b"off" for each in reports)

    def _wait_bounded(
        self, gen: Generator[Any, Any, Any], interval: float, timeout: float | None
    ) -> Any:
        if timeout is not None or self.answer_timeout is None:
            return super().wait(gen, interval, timeout)

        try:
            return super().wait(gen, interval, self.answer_timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  # the driver has no public name for it
            # The answer may still come. Nobody may read it as the answer to the next query.
            self.pgconn.finish()
            raise OperationalError(
                f"PostgreSQL did not answer within {self.answer_timeout:g} s"
            ) from None
