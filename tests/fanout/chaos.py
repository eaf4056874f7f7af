"""An upstream on real sockets that fails in one way for each path, and records what it saw.

`python chaos.py PORT` serves it in a process of its own.
"""

import asyncio
import gzip
import json
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qsl

from offload.fanout import Upstream

MEGABYTE = 2**20


@asynccontextmanager
async def opened(url: str, **limits: Any) -> AsyncIterator[Upstream]:
    """An open upstream with this base URL."""
    upstream = Upstream("chaos", base_url=url, **limits)
    async with upstream.open():
        yield upstream


async def until(fact: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it is true, and fail if it never is."""
    async with asyncio.timeout(seconds):
        # What is waited for happens in another process, which tells nobody.
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def tasks() -> list[str]:
    """All running tasks, except the task of this test and those of the chaos upstream."""
    found = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [str(task) for task in found if "Chaos." not in str(task.get_coro())]


class Chaos:
    """A server on loopback.

    Attributes:
        seen: requests that were read whole, by "METHOD /path".
        left: requests whose client left before the response was whole, by "METHOD /path".
        open: the connections that are open.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._tls = tls
        self._port = port
        self.seen: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        # Bytes written to all clients.
        self.sent = 0
        # Seconds that /slow takes.
        self.delay = 0.05
        # Seconds that the next requests for /planned take, in their order; later ones take 0.
        self.delays: list[float] = []
        self.open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        # The headers of the request that each connection carries.
        self.head: dict[asyncio.StreamWriter, dict[str, str]] = {}
        # Access tokens that /token gave, refresh tokens that it was shown, and what /guarded takes.
        self.tokens = 0
        self.shown: list[str] = []
        # The bodies that /upload was sent.
        self.uploads: list[bytes] = []
        self.accepted = "token-1"
        # Whether /too_long has sent its second response.
        self.forged = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._tls
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self.open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *fields = head.decode().strip().split("\r\n")
                method, target, _ = line.split(" ")
                headers = {k.lower(): v for k, v in (field.split(": ", 1) for field in fields)}
                body = await self._read(reader, headers)
                path = target.split("?")[0]
                name = f"{method} {path}"
                self.seen[name] += 1
                self.headers.append(headers)
                self.head[writer] = headers
                fault = getattr(self, "do_" + path.strip("/").split("/")[0].replace("-", "_"))
                answering = asyncio.ensure_future(fault(writer, body))
                gone = asyncio.ensure_future(self._gone(reader))
                # Mark the exception as retrieved. `await answering` raises it below.
                answering.add_done_callback(lambda task: task.cancelled() or task.exception())
                await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                if not answering.done():
                    self.left[name] += 1
                    answering.cancel()
                    return
                if await answering is False:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            # The event loop is closing.
            pass
        finally:
            self.open.discard(writer)
            self.head.pop(writer, None)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        """The body of a request, of a known length or in chunks."""
        if headers.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(headers.get("content-length", 0)))

        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body

    async def _gone(self, reader: asyncio.StreamReader) -> None:
        """Return when the client has closed. It sends nothing while it waits for a response."""
        # asyncio's reader has no event for its end.
        while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def answer(
        self,
        writer: asyncio.StreamWriter,
        body: bytes,
        status: str = "200 OK",
        more: tuple[str, ...] = (),
    ) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Length: {len(body)}",
            "Content-Type: application/json",
            *more,
            "",
            "",
        ]
        await self.write(writer, "\r\n".join(lines).encode() + body)

    async def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.sent += len(data)

    async def do_ok(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        await self.answer(
            writer, json.dumps({"echo": body.decode(), "number": sum(self.seen.values())}).encode()
        )

    async def do_token(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        """The token endpoint of an OAuth 2.0 server. It takes each refresh token once."""
        form = dict(parse_qsl(body.decode()))
        await asyncio.sleep(self.delay)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] in self.shown:
                await self.answer(writer, b'{"error": "invalid_grant"}', "400 Bad Request")
                return
            self.shown.append(form["refresh_token"])
        self.tokens += 1
        token = {"access_token": f"token-{self.tokens}", "expires_in": 3600}
        more = {"refresh_token": f"refresh-{self.tokens}"}
        await self.answer(writer, json.dumps(token | more).encode())

    async def do_guarded(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        if self.head[writer].get("authorization") == f"Bearer {self.accepted}":
            await self.do_ok(writer, body)
        else:
            await self.answer(writer, b"{}", "401 Unauthorized")

    async def do_upload(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        """Takes what was sent; the first time it is busy."""
        self.uploads.append(body)
        await (self.do_busy if len(self.uploads) == 1 else self.do_ok)(writer, b"")

    async def do_cookie(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", more=("Set-Cookie: who=alice; Path=/",))

    async def do_slow(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await asyncio.sleep(self.delay)
        await self.answer(writer, b'{"slow": true}')

    async def do_planned(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await asyncio.sleep(self.delays.pop(0) if self.delays else 0)
        await self.answer(writer, b"{}")

    async def do_silent(self, _writer: asyncio.StreamWriter, _: bytes) -> None:
        await asyncio.sleep(3600)

    async def do_drip(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.write(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await self.write(writer, b"1")
            await asyncio.sleep(0.03)

    async def do_reset(self, writer: asyncio.StreamWriter, _: bytes) -> bool:
        """Reads the request and closes without an answer."""
        return False

    async def do_cut(self, writer: asyncio.StreamWriter, _: bytes) -> bool:
        """Closes after the headers and half of the body."""
        await self.write(writer, b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half":')
        return False

    async def do_torn(self, writer: asyncio.StreamWriter, _: bytes) -> bool:
        """Resets the connection in the middle of the body."""
        await self.write(writer, b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half":')
        reset = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        return False

    async def do_half_head(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.write(writer, b"HTTP/1.1 200 OK\r\nContent-Le")
        await asyncio.sleep(3600)

    async def do_endless_head(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.write(writer, b"HTTP/1.1 200 OK\r\n")
        while True:
            await self.write(writer, b"X-More: and more\r\n" * 1000)

    async def do_long_header(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", more=("Set-Cookie: s3cr3t=" + "s" * 9000,))

    async def do_odd_header(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", more=("Set-Cookie: s3cr3t=\x00",))

    async def do_long_content_type(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """The standard library's parser takes a second for it."""
        more = ('Content-Type: a;b="' + ";" * 8000, "Content-Type: " + ";" * 8000)
        await self.answer(writer, b"{}", more=more)

    async def do_endless_interim(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """Says without end that the response will come."""
        while True:
            await self.write(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    async def do_early_hints(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """Says a few times that the response will come, and then sends it."""
        await self.write(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n" * 3)
        await self.answer(writer, b"{}")

    async def do_too_short(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """Says 100 bytes, sends two, and keeps the connection open."""
        await self.write(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
        await asyncio.sleep(3600)

    async def do_too_long(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """Sends a whole response more than it says, which nobody may take for the next answer."""
        await self.answer(writer, b"{}")
        await self.answer(writer, b'{"forged": true}')
        self.forged = True

    async def do_too_long_and_late(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """The same when the client has kept the connection for its next request."""
        await self.answer(writer, b"{}")
        await asyncio.sleep(0.05)
        await self.answer(writer, b'{"forged": true}')
        self.forged = True

    async def do_garbage(self, writer: asyncio.StreamWriter, _: bytes) -> bool:
        await self.write(writer, b"SSH-2.0-OpenSSH_9.7\r\n\r\n")
        return False

    async def do_mangled(self, writer: asyncio.StreamWriter, _: bytes) -> bool:
        """Says that the body is gzip, which it is not."""
        await self.answer(writer, b"no gzip at all", more=("Content-Encoding: gzip",))
        return False

    async def do_busy(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", "503 Service Unavailable", ("Retry-After: 0",))

    async def do_later(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", "503 Service Unavailable", ("Retry-After: 3600",))

    async def do_once_busy(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        await (self.do_busy if sum(self.seen.values()) == 1 else self.do_ok)(writer, body)

    async def do_fails(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", "500 Internal Server Error")

    async def do_missing(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"{}", "404 Not Found")

    async def do_broken(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b'{"price": 12.')

    async def do_redirect(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(writer, b"", "302 Found", (f"Location: {self.url}/secret",))

    async def do_loop(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """Redirects to itself."""
        await self.answer(writer, b"", "302 Found", (f"Location: {self.url}/loop",))

    async def do_huge(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """A gigabyte, with its Content-Length."""
        await self.write(
            writer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1024 * MEGABYTE)
        )
        for _ in range(1024):
            await self.write(writer, b"x" * MEGABYTE)

    async def do_endless(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """A gigabyte in chunks, without a Content-Length."""
        await self.write(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1024):
            await self.write(writer, b"100000\r\n" + b"x" * MEGABYTE + b"\r\n")

    async def do_bomb(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        """A megabyte that unpacks to a gigabyte."""
        await self.answer(writer, bomb(), more=("Content-Encoding: gzip",))

    async def do_zipped(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer(
            writer, gzip.compress(b'{"zipped": true}'), more=("Content-Encoding: gzip",)
        )


@cache
def bomb() -> bytes:
    """A gigabyte of zeros as gzip: 64 members of the same 16 megabytes."""
    return gzip.compress(bytes(16 * MEGABYTE)) * 64


async def serve(port: int) -> None:
    """Serve until the process is killed."""
    async with Chaos(port=port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
