import asyncio
import json

from asgiref.sync import sync_to_async

from .models import Blob


class Stage:
    def __init__(self):
        self._in: asyncio.Queue | None = None
        self._out: asyncio.Queue | None = None

    def connect(self, source: asyncio.Queue, sink: asyncio.Queue) -> None:
        self._in, self._out = source, sink

    async def items(self):
        while (item := await self._in.get()) is not None:
            yield item

    async def put(self, item) -> None:
        await self._out.put(item)

    async def run(self) -> None:
        raise NotImplementedError

    async def __call__(self, source: asyncio.Queue, sink: asyncio.Queue) -> None:
        self.connect(source, sink)
        await self.run()
        await self.put(None)


class ManifestStage(Stage):
    """Reads each saved manifest and names the blobs that it lists."""

    async def run(self) -> None:
        async for declared in self.items():
            manifest = await declared.resolution()
            artifact = manifest.artifacts.get()
            raw = await sync_to_async(self._read)(artifact)
            for layer in json.loads(raw).get("layers", []):
                await self.put(Blob(manifest=manifest, digest=layer["digest"]))

    @staticmethod
    def _read(artifact) -> bytes:
        with artifact.file.open("rb") as handle:
            return handle.read()


class SaveStage(Stage):
    async def run(self) -> None:
        async for blob in self.items():
            await blob.asave()
            await self.put(blob)
