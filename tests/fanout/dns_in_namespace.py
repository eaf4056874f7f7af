"""Asks upstreams whose names hang and one that is healthy, in a network namespace of its own.

`test_dns.py` runs this file by `unshare`. The only name server of the namespace takes every query
and answers none. The name of the healthy upstream, `localhost`, is in /etc/hosts.

Prints one line of JSON: the status of each call to the healthy upstream.
"""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from chaos import Chaos

from offload.fanout import Upstream

HANGING = 6


def isolate(folder: Path) -> socket.socket:
    """Bring loopback up and make a silent server the only name server."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    servers = folder / "resolv.conf"
    servers.write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n")
    subprocess.run(["mount", "--bind", servers, "/etc/resolv.conf"], check=True)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 53))
    return silent


async def ask() -> list[str]:
    """The outcomes of three calls to the healthy upstream while the other names hang."""
    async with Chaos() as chaos, AsyncExitStack() as stack:
        hanging = [
            Upstream(f"hanging{n}", base_url=f"http://hanging{n}.test:{chaos.port}")
            for n in range(HANGING)
        ]
        healthy = Upstream("healthy", base_url=f"http://localhost:{chaos.port}")
        for upstream in (*hanging, healthy):
            await stack.enter_async_context(upstream.open())

        waiting = [asyncio.create_task(each.get_json("/ok").outcome()) for each in hanging]
        await asyncio.sleep(0.3)
        statuses = []
        for _ in range(3):
            outcome = await healthy.get_json("/ok").outcome()
            statuses.append(outcome.status)
        statuses += [outcome.status for outcome in await asyncio.gather(*waiting)]
        return statuses


if __name__ == "__main__":
    silent = isolate(Path(sys.argv[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(ask())), flush=True)
