"""uvicorn's server, which loses no connection when it starts and when it stops."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import uvicorn

from offload.serving.connection_limits import ConnectionLimits
from offload.serving.stop_signals import DRAIN_SECONDS

# After this time a thread gives the GIL to one that waits for it, while the sockets are closed.
SHORT_SWITCH_INTERVAL_SECONDS = 1e-5
PORT_IS_TAKEN = (
    "Port {port} on {host} is taken: stop what runs there, or choose another with --port or PORT=."
)


class Server(uvicorn.Server):
    """uvicorn's server with three differences.

    1. It exits if another process took the port during the start. uvicorn's own would live on
       without a single request.
    2. It tells the application how long to drain before a stop.
    3. At a stop it serves the connections that the kernel has accepted for it. uvicorn's own
       resets them.

    Args:
        limits: of all connections; None if the protocol is uvicorn's own.
        drain: seconds between a SIGTERM and the stop.
    """

    def __init__(
        self, config: uvicorn.Config, limits: ConnectionLimits | None = None, drain: float = 0.0
    ) -> None:
        super().__init__(config)
        self._limits = limits
        self._drain = drain
        # Second handles of the listening sockets.
        self._listeners: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the lifespans, then listen: a client that connects before is refused at once."""
        self.lifespan.state[DRAIN_SECONDS] = self._drain
        self._listeners = [listener.dup() for listener in sockets or ()]
        await super().startup(sockets)
        for listener in self._listeners:
            try:
                # A second time: uvloop closes its own socket without an error if it was refused.
                listener.listen(self.config.backlog)
            except OSError:
                host, port = listener.getsockname()[:2]
                for each in self._listeners:
                    each.close()
                await self.lifespan.shutdown()
                sys.exit(PORT_IS_TAKEN.format(port=port, host=host))
        if self._limits is not None:
            self._limits.sweep()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, answer what was accepted, and close the lifespans."""
        if self._limits is not None:
            self._limits.stop()
        await self._serve_the_last(sockets or [])
        await super().shutdown(sockets)
        if self._limits is not None:
            await self._limits.end()

    async def _serve_the_last(self, sockets: list[socket.socket]) -> None:
        """Close the listening sockets, and take over the connections that wait in their queues."""
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        # uvloop closes its own handle in the next iteration. From then on the second handle is the
        # last, and nothing is between its last `accept` and its `close`.
        await asyncio.sleep(0.01)
        waiting: list[socket.socket] = []
        # `accept` gives the GIL away, and a busy thread keeps it for a switch interval (5 ms by
        # default). What connects meanwhile would be reset by the `close`.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SHORT_SWITCH_INTERVAL_SECONDS)
        try:
            for listener in self._listeners:
                with listener:
                    listener.setblocking(False)
                    waiting += _accepted(listener)
        finally:
            sys.setswitchinterval(interval)

        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._new_protocol, connection)

    def _new_protocol(self) -> asyncio.Protocol:
        new: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = new(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            yield connection
