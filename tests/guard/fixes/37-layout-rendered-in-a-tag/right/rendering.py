import asyncio
from concurrent.futures import ThreadPoolExecutor

from .layouts import Layout


class SyncLayout(Layout):
    """Lets a template tag, which is synchronous, render a layout."""

    def __enter__(self):
        self.runner = asyncio.Runner()
        self.thread = ThreadPoolExecutor(max_workers=1)
        self._run(self.__aenter__())
        return self

    def __exit__(self, *exc_info):
        try:
            self._run(self.__aexit__(*exc_info))
        finally:
            self.thread.submit(self.runner.close).result()
            self.thread.shutdown()

    def render_now(self) -> str:
        return self._run(self.render())

    def _run(self, coroutine):
        return self.thread.submit(self.runner.run, coroutine).result()
