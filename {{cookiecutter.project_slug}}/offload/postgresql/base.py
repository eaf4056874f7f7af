"""The backend itself. Django looks for a class of this name in a module of this name."""

from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import TooManyConnections

from offload.postgresql.bounded_connection import BoundedConnection
from offload.postgresql.connection_slots import ConnectionSlots, slots_of_this_thread
from offload.postgresql.schema import DatabaseSchemaEditor

# Seconds. A kept connection is checked by `SELECT 1` before its first use in a request; a server
# that works answers in less than a millisecond.
HEALTH_CHECK_TIMEOUT_SECONDS = 1.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, with three limits more.

    1. An answer of the server may take `OPTIONS["answer_timeout"]` seconds (`BoundedConnection`).
    2. Threads that carry `ConnectionSlots` open only so many connections.
    3. A migration waits for a lock for 2 s (`DatabaseSchemaEditor`).
    """

    # Django's own name for it.
    SchemaEditorClass = DatabaseSchemaEditor

    # Django connects with `self.Database.connect`, and finds the classes of errors there. Its own
    # is the module psycopg.
    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": BoundedConnection.connect})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The slot of the open connection.
        self._slots: ConnectionSlots | None = None

    def get_connection_params(self) -> dict[str, Any]:
        """What psycopg is given; `answer_timeout` is none of its options."""
        params: dict[str, Any] = super().get_connection_params()
        params.pop("answer_timeout", None)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect.

        Raises:
            TooManyConnections: no slot was free in time.
            OperationalError: the server refuses or does not answer.
        """
        self._take_slot()
        try:
            connection = super().get_new_connection(conn_params)
        except BaseException:
            self._give_slot_back()
            raise
        connection.answer_timeout = self.settings_dict["OPTIONS"].get("answer_timeout")
        # Django's documentation asks for this setting behind a pooler of transactions.
        connection.is_pooled = bool(self.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))
        return connection

    def is_usable(self) -> bool:
        """Whether the kept connection works. A frozen server is found here, in a second."""
        connection: Any = self.connection
        usual = connection.answer_timeout
        connection.answer_timeout = HEALTH_CHECK_TIMEOUT_SECONDS
        try:
            return bool(super().is_usable())
        finally:
            connection.answer_timeout = usual

    def _close(self) -> Any:
        try:
            return super()._close()  # type: ignore[misc]
        finally:
            self._give_slot_back()

    def _take_slot(self) -> None:
        slots = slots_of_this_thread()
        if slots is None:
            return
        if not slots.acquire():
            raise TooManyConnections(
                f"all {slots.size} database connections of this process's requests are in use"
            )
        self._slots = slots

    def _give_slot_back(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release()
