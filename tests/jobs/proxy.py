"""`python proxy.py PORT UPSTREAM [silent]`: a TCP proxy before the broker.

It says a line for every connection. SIGUSR1 black-holes the connections there are, for ever; new
ones pass. As `silent` it accepts and never passes anything.
"""

import asyncio
import signal
import sys

generation = 0


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    born = generation
    while data := await source.read(65536):
        if generation != born:
            await asyncio.sleep(3600)
        sink.write(data)
        await sink.drain()
    sink.close()


async def main(port: int, upstream: int, silent: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        print("connection", flush=True)
        if silent:
            await asyncio.sleep(3600)
        there, back = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    def freeze() -> None:
        global generation
        generation += 1

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, freeze)
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), "silent" in sys.argv))
