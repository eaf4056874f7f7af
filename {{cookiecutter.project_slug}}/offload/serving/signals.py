"""Django's request signals: what its own receivers do in a thread, and everybody else's."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, connections, reset_queries
from django.dispatch import Signal

# Django's own receivers of `request_started` and `request_finished`. They tidy up the thread that a
# request used, so the lean handler runs them only around such a thread: see
# `begin_in_thread` and `finish_in_thread`.
BUILT_IN = {reset_queries, close_old_connections, close_caches, reset_urlconf}


class ForeignReceivers:
    """Calls the receivers that a service or a library has connected, with the sender of Django."""

    def __init__(self) -> None:
        # By signal its receivers as they were when all of them were found to be built in. Comparing
        # the lists costs a fifth of asking the signal.
        self._only_built_in: dict[Signal, list[Any]] = {}

    async def send(self, signal: Signal, **named: Any) -> None:
        """Send a signal to everybody's receivers except Django's own."""
        if signal.receivers == self._only_built_in.get(signal):
            return

        sync_receivers, async_receivers = signal._live_receivers(ASGIHandler)
        if not async_receivers and BUILT_IN.issuperset(sync_receivers):
            self._only_built_in[signal] = signal.receivers.copy()
            return

        foreign = [receiver for receiver in sync_receivers if receiver not in BUILT_IN]
        if foreign:
            await sync_to_async(_call_all)(foreign, signal=signal, sender=ASGIHandler, **named)
        await asyncio.gather(
            *(receiver(signal=signal, sender=ASGIHandler, **named) for receiver in async_receivers)
        )


def _call_all(receivers: Sequence[Callable[..., object]], **named: Any) -> None:
    for receiver in receivers:
        receiver(**named)


def begin_in_thread() -> None:
    """Do what Django's receivers of `request_started` do.

    From here on each connection knows its open iterators.
    """
    reset_queries()
    close_old_connections()
    for connection in connections.all():
        if "chunked_cursor" not in vars(connection):
            _watch_cursors(connection)


def _watch_cursors(connection: Any) -> None:
    """Remember the chunked cursors: no others stay open from one sync call to the next."""
    chunked_cursor, open_cursors = connection.chunked_cursor, WeakSet[Any]()

    def watched_cursor() -> Any:
        cursor = chunked_cursor()
        open_cursors.add(cursor)
        return cursor

    connection.chunked_cursor, connection.open_cursors = watched_cursor, open_cursors


def finish_in_thread() -> None:
    """Do what Django's receivers of `request_finished` do.

    Raises:
        RuntimeError: a transaction or a chunked query is open, and would be lost.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.get_autocommit():
            raise RuntimeError(
                "A transaction is open. Commit it before you wait: "
                "waiting gives the connection back."
            )
        if getattr(connection, "open_cursors", None):
            raise RuntimeError(
                "A query is still being read. Read it to its end, or into a list, before you wait."
            )

    close_old_connections()
    close_caches()
