"""The ten upstreams: one process with ten addresses, which answers every request after `DELAY`."""

import argparse
import asyncio
from typing import cast

import uvloop

# Seconds between a request and its response.
DELAY = 0.05
BODY = (
    b'{"prices": {"ACME": 101.25, "GLOBEX": 55.5}, '
    b'"currency": "EUR", "as_of": "2026-01-05T09:00:00Z"}'
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


class Upstream(asyncio.Protocol):
    """Counts request heads; the requests have no bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.head = b""

    def data_received(self, data: bytes) -> None:
        *heads, self.head = (self.head + data).split(b"\r\n\r\n")
        for _ in heads:
            asyncio.get_running_loop().call_later(DELAY, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def main(port: int) -> None:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    hosts = [f"127.0.0.{number}" for number in range(1, 11)]
    servers = [await loop.create_server(Upstream, host, port, backlog=1000) for host in hosts]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(main(parser.parse_args().port))
