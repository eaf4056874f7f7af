import html

from asgiref.sync import sync_to_async


class Layout:
    """Renders a component; made for websockets, therefore async."""

    def __init__(self, component):
        self.component = component
        self.mounted = False

    async def __aenter__(self):
        self.mounted = True
        return self

    async def __aexit__(self, *exc_info):
        self.mounted = False

    async def render(self) -> str:
        text = await sync_to_async(self.component, thread_sensitive=False)()
        return f"<div>{html.escape(text)}</div>"
