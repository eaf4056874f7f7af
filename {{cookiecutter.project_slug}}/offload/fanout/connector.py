"""Connections that keep the event loop for no longer than some milliseconds, and ask in order."""

import asyncio
import select
from functools import partial
from time import perf_counter
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

# The parser is given this much at once. It may be 1,000 chunks, each a call of the decompressor.
PARSED_AT_ONCE_BYTES = 4 * 1024
# After this time the loop serves others, and then the rest is parsed. A megabyte of plain JSON is
# parsed in less.
PARSE_SECONDS = 0.002
# Heads of responses that may wait for their call. Before the response there may be some of 1xx,
# which say that more will come: Go's transport takes 5.
MAX_UNREAD_HEADS = 10


class UpstreamConnection(ResponseHandler):
    """aiohttp's connection, with two bounds on what an upstream sends.

    1. It is parsed in parts. uvloop reads up to 8 MB in one iteration, and aiohttp parses all of it
       at once: one upstream would stop the loop, and so the calls to all others, for 17 s with
       responses of the status 100, and for 8 s with compressed chunks of nothing.
    2. A kept connection counts as closed once something came that no request asked for, such as the
       rest of a response whose Content-Length was too small. aiohttp would read it as the answer to
       the next request: the answer of one caller, for another one. (Go's transport closes such a
       connection, too: "Unsolicited response received on idle HTTP channel".)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # Reading is paused while there is any.
        self._unparsed = bytearray()

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

    @property
    def should_close(self) -> bool:
        """Whether the connection cannot be kept: what waits here is no answer to the next call."""
        return bool(self._unparsed) or super().should_close

    def data_received(self, data: bytes) -> None:
        """The upstream has sent something, or aiohttp goes on with what it has (no data)."""
        if self._unparsed and data:
            self._keep(data)
        else:
            self._parse(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection broke."""
        self._unparsed.clear()
        super().connection_lost(exc)

    def _parse(self, data: bytes) -> None:
        if len(data) <= PARSED_AT_ONCE_BYTES:
            self._parse_part(data)
            return

        until = perf_counter() + PARSE_SECONDS
        for start in range(0, len(data), PARSED_AT_ONCE_BYTES):
            end = start + PARSED_AT_ONCE_BYTES
            if not self._parse_part(data[start:end]):
                return
            if end < len(data) and perf_counter() > until:
                self._keep(data[end:])
                self._loop.call_soon(self._parse_on)
                return

    def _parse_part(self, part: bytes) -> bool:
        """Have aiohttp parse this. Returns whether the connection goes on."""
        super().data_received(part)
        if self.transport is None or self.transport.is_closing():
            return False
        if len(self) > MAX_UNREAD_HEADS:
            self._refuse()
            return False
        return True

    def _keep(self, data: bytes) -> None:
        self._unparsed += data
        self._pause_transport_reading()

    def _parse_on(self) -> None:
        data, self._unparsed = bytes(self._unparsed), bytearray()
        if self.transport is None or self.transport.is_closing():
            return
        self._parse(data)
        # aiohttp may have paused reading, too: its caller reads too slowly.
        if not (self._unparsed or self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    def _refuse(self) -> None:
        assert self.transport is not None
        self.transport.abort()
        self.set_exception(HttpProcessingError(code=400, message="Too many responses to a request"))


class UpstreamConnector(aiohttp.TCPConnector):
    """aiohttp's own, with the connections of the class above."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no public way to name the class of its connections.
        self._factory = partial(UpstreamConnection, loop=self._loop)  # type: ignore[assignment]
