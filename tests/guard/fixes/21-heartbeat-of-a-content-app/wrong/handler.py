from aiohttp import web
from asgiref.sync import sync_to_async
from django.core.files.storage import default_storage


class Handler:
    def __init__(self):
        self.storage = default_storage

    async def stream(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if not await sync_to_async(self.storage.exists)(path):
            raise web.HTTPNotFound
        return web.FileResponse(self.storage.path(path))
