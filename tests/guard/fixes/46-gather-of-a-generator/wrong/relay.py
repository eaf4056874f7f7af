import asyncio
import logging

import aiohttp

from .models import Node

logger = logging.getLogger(__name__)

CANCEL_TIMEOUT_SECONDS = 10
PAUSE_SECONDS = 5


class Link:
    def __init__(self, host: str):
        self.host = host
        self.connected = False
        self.task: asyncio.Task | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self._run(), name=f"link-{self.host}")

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.ws_connect(f"https://{self.host}/relay/", heartbeat=20) as socket:
                self.connected = True
                try:
                    async for message in socket:
                        logger.debug("%s sent %d characters", self.host, len(message.data))
                finally:
                    self.connected = False


class RelayManager:
    def __init__(self):
        self.links: dict[str, Link] = {}

    async def drop(self, host: str) -> None:
        link = self.links.pop(host)
        link.task.cancel()
        done, _ = await asyncio.wait([link.task], timeout=CANCEL_TIMEOUT_SECONDS)
        if not done:
            logger.warning("The link to %s did not end within its time.", host)

    async def run(self) -> None:
        while True:
            known = {host async for host in Node.objects.values_list("hostname", flat=True)}
            gone = set(self.links) - known
            if gone:
                logger.info("Removing %s from the relay", sorted(gone))
                await asyncio.gather(self.drop(host) for host in gone)
            for host in known - set(self.links):
                self.links[host] = Link(host)
                self.links[host].start()
            await asyncio.sleep(PAUSE_SECONDS)
