"""A connector that sends no request over a connection on which something came unasked."""

import asyncio
import select
from functools import partial
from typing import Any

import aiohttp

from .bounded_reader import BoundedReader


class SilentWhenIdle(BoundedReader):
    """A kept connection counts as closed once something came that no request asked for.

    Such as the rest of a response whose Content-Length was too small. aiohttp would read it as the
    answer to the next request: the answer of one caller, for another one. (Go's transport closes
    such a connection, too: "Unsolicited response received on idle HTTP channel".)
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As aiohttp's. The poll object is kept, since to make one costs as much as to use it."""
        super().connection_made(transport)
        self._unread = select.poll()
        self._unread.register(transport.get_extra_info("socket"), select.POLLIN)

    def is_connected(self) -> bool:
        """Whether a request may be sent; aiohttp asks before it uses a kept connection.

        The event loop may have still to read what came, or that the other side closed. To ask the
        system costs 1 us.
        """
        return super().is_connected() and not self.should_close and not self._unread.poll(0)


class UpstreamConnector(aiohttp.TCPConnector):
    """aiohttp's own, with the connections of the class above."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no public way to name the class of its connections.
        self._factory = partial(SilentWhenIdle, loop=self._loop)  # type: ignore[assignment]
