"""`python proxy.py PORT UPSTREAM [silent | tls FOLDER]`: a proxy before the broker or the database.

It says a line for every connection. SIGUSR1 black-holes the connections there are, for ever; new
ones pass. SIGUSR2 makes it slow, and fast again: each packet waits for `PROXY_DELAY` seconds (a
variable of the environment, 0.1). As `silent` it accepts and never passes anything. With `tls` its
clients speak TLS: the folder has `key.pem` and `certificate.pem`.
"""

import asyncio
import os
import signal
import ssl
import sys
from pathlib import Path

DELAY_SECONDS = float(os.environ.get("PROXY_DELAY", "0.1"))
generation = 0
slow = False


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    born = generation
    try:
        while data := await source.read(65536):
            if generation != born:
                await asyncio.sleep(3600)
            if slow:
                await asyncio.sleep(DELAY_SECONDS)
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()


def tls_context(folder: Path) -> ssl.SSLContext:
    """With the certificate in this folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def main(port: int, upstream: int, mode: str = "", folder: str = "") -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        print("connection", flush=True)
        if mode == "silent":
            await asyncio.sleep(3600)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", upstream)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    def freeze() -> None:
        global generation
        generation += 1

    def toggle() -> None:
        global slow
        slow = not slow

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, freeze)
    loop.add_signal_handler(signal.SIGUSR2, toggle)
    tls = tls_context(Path(folder)) if mode == "tls" else None
    async with await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
