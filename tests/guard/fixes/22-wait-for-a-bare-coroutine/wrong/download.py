import asyncio
import hashlib
import tempfile
from dataclasses import dataclass

import aiohttp


@dataclass
class DownloadResult:
    url: str
    path: str
    sha256: str


class BaseDownloader:
    def __init__(self, url: str):
        self.url = url
        self.digest = hashlib.sha256()
        self.writer = None

    def handle_data(self, data: bytes) -> None:
        if self.writer is None:
            self.writer = tempfile.NamedTemporaryFile(delete=False)
        self.writer.write(data)
        self.digest.update(data)

    def finalize(self) -> DownloadResult:
        self.writer.close()
        return DownloadResult(self.url, self.writer.name, self.digest.hexdigest())

    def fetch(self) -> DownloadResult:
        """Run the download from synchronous code: a task of the worker."""

        async def run_alone() -> DownloadResult:
            done, _ = await asyncio.wait([self.run()])
            return done.pop().result()

        return asyncio.run(run_alone())

    async def run(self) -> DownloadResult:
        raise NotImplementedError


class HttpDownloader(BaseDownloader):
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)

    async def run(self) -> DownloadResult:
        async with aiohttp.ClientSession(timeout=self.timeout) as session:
            async with session.get(self.url, raise_for_status=True) as answer:
                async for chunk in answer.content.iter_chunked(1024 * 1024):
                    self.handle_data(chunk)
        return self.finalize()
