from asgiref.sync import async_to_sync

from .layouts import Layout


class SyncLayout(Layout):
    """Lets a template tag, which is synchronous, render a layout."""

    def __enter__(self):
        async_to_sync(self.__aenter__)()
        return self

    def __exit__(self, *exc_info):
        async_to_sync(self.__aexit__)(*exc_info)

    def render_now(self) -> str:
        return async_to_sync(self.render)()
