import asyncio


class DeclaredContent:
    """Content that a later stage will have saved."""

    def __init__(self, content):
        self.content = content
        self._resolved = asyncio.Event()

    def resolve(self) -> None:
        self._resolved.set()

    async def resolution(self):
        await self._resolved.wait()
        return self.content
