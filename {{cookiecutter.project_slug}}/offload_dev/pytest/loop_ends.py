"""Finds what an event loop still has when it ends: tasks that it cancels, and open connections.

`async_to_sync` and `asyncio.run` make a loop for one call. What outlives the call is lost there,
or stays open until the process ends.
"""

import asyncio
import sys
from asyncio import runners, selector_events, sslproto
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from offload.guard.runtime import stacks

CANCELLED = "{} runs in task {} when its loop ends, which cancels it: docs/guard/OFF502.md"
CONNECTION = "{} left a connection to {} open when its event loop ended: docs/guard/OFF506.md"

# There is no public hook for a new connection, and none for the end of `asyncio.run`.
_TRANSPORT: Any = vars(selector_events)["_SelectorTransport"]
_CANCEL_ALL_TASKS = "_cancel_all_tasks"
# Where each connection was made.
_places: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@contextmanager
def note_connections() -> Iterator[None]:
    """Note the lines that open connections while this context is open."""
    original = _TRANSPORT.__init__

    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        # One that a server has accepted belongs to the client.
        if self._server is None:
            # The whole stack: asyncio's own functions stand above the line that connects.
            steps = stacks.of_thread(sys._getframe(1))  # noqa: SLF001 - documented
            _places[self] = str(stacks.responsible_step(steps))

    with patch.object(_TRANSPORT, "__init__", noted):
        yield


@contextmanager
def find_cancelled_tasks(found: list[str]) -> Iterator[None]:
    """Add a sentence for each task that `asyncio.run` has to cancel while this context is open."""
    cancel_all = vars(runners)[_CANCEL_ALL_TASKS]

    def watched(loop: asyncio.AbstractEventLoop) -> None:
        for task in asyncio.all_tasks(loop):
            if not task.cancelling():
                step = stacks.responsible_step(stacks.of_task(task))
                found.append(CANCELLED.format(step, task.get_name()))
        cancel_all(loop)

    with patch.object(runners, _CANCEL_ALL_TASKS, watched):
        yield


@contextmanager
def find_open_connections(found: list[str]) -> Iterator[None]:
    """Add a sentence for each connection of a loop that is closed while this context is open."""
    close = selector_events.BaseSelectorEventLoop.close

    def watched(loop: Any) -> None:
        if not loop.is_closed():
            found.extend(_open_connections(loop))
        close(loop)

    with patch.object(selector_events.BaseSelectorEventLoop, "close", watched):
        yield


def _open_connections(loop: Any) -> list[str]:
    """A sentence for each connection of this loop that nobody has closed."""
    return [
        CONNECTION.format(_places[transport], transport.get_extra_info("peername"))
        for transport in list(loop._transports.values())  # noqa: SLF001
        if transport in _places and not _is_closing(transport)
    ]


def _is_closing(transport: Any) -> bool:
    """Whether it is closed; with TLS, whether the end of the encryption is under way."""
    protocol = transport.get_protocol()
    encrypted = isinstance(protocol, sslproto.SSLProtocol)
    return transport.is_closing() or (encrypted and protocol._app_transport._closed)  # noqa: SLF001
